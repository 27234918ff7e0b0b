-- How many rows of a run's files repeat an earlier sample, and are left out for it.
-- In: $run = last.
SELECT
    corpora.role,
    corpora.corpus,
    counts.value AS read_rows,
    count(repeated.corpus) AS repeated_rows,
    repeated_rows / nullif(read_rows, 0) AS repeated_share
FROM run_corpora AS corpora
INNER JOIN counts ON corpora.corpus = counts.artifact AND counts.name = 'rows'
LEFT JOIN duplicates AS repeated ON corpora.corpus = repeated.corpus
WHERE corpora.run = $run
GROUP BY corpora.role, corpora.corpus, counts.value
ORDER BY corpora.role;
