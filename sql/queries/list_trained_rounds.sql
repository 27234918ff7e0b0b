-- The last round of each run that trained a model.
SELECT
    run,
    max(round) AS last_round
FROM rounds
WHERE model IS NOT NULL
GROUP BY run;
