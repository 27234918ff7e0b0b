-- Every row that became no sample, by run, with the place it came from and the reason.
-- In: $views, the rejected rows of each corpus.
CREATE OR REPLACE VIEW quarantine AS
WITH uses AS (
    SELECT DISTINCT
        run,
        corpus
    FROM rounds
)

SELECT
    uses.run,
    rejected.*
FROM query_table($views) AS rejected
INNER JOIN uses ON rejected.corpus = uses.corpus;
