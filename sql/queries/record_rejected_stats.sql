-- Count the rows of one shard that became no sample. In: $corpus; `given`: outcome, source, reason.
INSERT INTO rejected_stats BY NAME
SELECT
    $corpus AS corpus,
    source,
    outcome,
    reason,
    count(*) AS num_rows
FROM given
GROUP BY source, outcome, reason
ON CONFLICT DO UPDATE SET num_rows = num_rows + excluded.num_rows;
