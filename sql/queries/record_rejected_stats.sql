-- Count the rows of a corpus that became no sample, unless another run did. In: $corpus; `given`:
-- source, outcome and reason of each.
INSERT INTO rejected_stats BY NAME
SELECT
    $corpus AS corpus,
    source,
    outcome,
    reason,
    count(*) AS num_rows
FROM given
GROUP BY source, outcome, reason
ON CONFLICT DO NOTHING;
