-- The rows of a run's drop that became no sample, by what became of them and why. In: $run.
SELECT
    rejected.outcome,
    rejected.reason,
    sum(rejected.num_rows)::BIGINT AS num_rows
FROM rejected_stats AS rejected
INNER JOIN run_corpora ON rejected.corpus = run_corpora.corpus
WHERE run_corpora.run = $run AND run_corpora.role = 'drop'
GROUP BY rejected.outcome, rejected.reason
ORDER BY num_rows DESC, rejected.outcome ASC, rejected.reason ASC;
