-- Every row that became no sample, by run and corpus, with the place it came from and the reason.
-- In: $views, the rejected rows of each corpus.
CREATE OR REPLACE VIEW quarantine AS
SELECT
    run_corpora.run,
    run_corpora.role,  -- of the corpus in the run: drop, warmup, holdout or harmful
    rejected.*
FROM query_table($views) AS rejected
INNER JOIN run_corpora ON rejected.corpus = run_corpora.corpus;
