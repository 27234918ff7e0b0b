-- The corpora that more than one round chose from, by the runs of these rounds; of several of a run
-- that of the last such round.
WITH shared AS (
    SELECT corpus
    FROM rounds
    GROUP BY corpus
    HAVING count(*) > 1
)

SELECT
    run,
    arg_max(corpus, round) AS corpus
FROM rounds
WHERE corpus IN (FROM shared)
GROUP BY run;
