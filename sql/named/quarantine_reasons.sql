-- Why rows of a run's files became no sample, most frequent reason first.
-- In: $run = last. The view `quarantine` has the rows themselves.
SELECT
    corpora.role,
    stats.outcome,
    stats.reason,
    sum(stats.num_rows)::BIGINT AS rejected_rows,
    any_value(counts.value) AS read_rows,
    rejected_rows / read_rows AS rejected_share,
    count(*) AS num_sources
FROM run_corpora AS corpora
INNER JOIN rejected_stats AS stats ON corpora.corpus = stats.corpus
INNER JOIN counts ON corpora.corpus = counts.artifact AND counts.name = 'rows'
WHERE corpora.run = $run
GROUP BY corpora.role, stats.outcome, stats.reason
ORDER BY corpora.role ASC, rejected_rows DESC, stats.reason ASC;
