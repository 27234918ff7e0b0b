-- How many sample ids a round has in common with the one before it. In: $run, $round.
SELECT count(*)
FROM sample_stats AS now
INNER JOIN sample_stats AS former
    ON
        now.run = former.run
        AND now.round - 1 = former.round
        AND now.sample_id = former.sample_id
WHERE now.run = $run AND now.round = $round;
