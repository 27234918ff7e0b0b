-- One row: everything round_stats knows of a round. In: $run, $round.
SELECT *
FROM round_stats
WHERE run = $run AND round = $round;
