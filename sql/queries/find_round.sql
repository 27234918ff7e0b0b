-- The round of a run, with the corpus whose vocabulary its tokens are of. In: $run, $round.
SELECT whole
FROM rounds
WHERE run = $run AND round = $round;
