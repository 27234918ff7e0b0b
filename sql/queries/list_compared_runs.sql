-- The runs of which an arm is finished. They may have no round of their own.
SELECT
    arms.run,
    max(rounds.round) AS last_round
FROM arms
LEFT JOIN rounds ON arms.run = rounds.run
GROUP BY arms.run;
