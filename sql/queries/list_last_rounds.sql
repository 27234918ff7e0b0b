-- The last round of each run that has one.
SELECT
    run,
    max(round) AS last_round
FROM rounds
GROUP BY run;
