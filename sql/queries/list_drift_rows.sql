-- Rows of cleaned drops that became no sample, as a whole (source NULL) and by source. In: $runs.
SELECT
    corpora.run,
    stats.source,
    sum(stats.num_rows)::BIGINT AS rejected_rows,
    coalesce(sum(stats.num_rows) FILTER (WHERE stats.outcome = 'quarantined'), 0)::BIGINT
        AS quarantined_rows,
    coalesce(sum(stats.num_rows) FILTER (WHERE stats.reason = 'target_truncated_away'), 0)::BIGINT
        AS answerless_rows
FROM rejected_stats AS stats
INNER JOIN run_corpora AS corpora ON stats.corpus = corpora.corpus
WHERE corpora.role = 'drop' AND list_contains($runs, corpora.run)
GROUP BY GROUPING SETS ((corpora.run), (corpora.run, stats.source));
