-- The scores that a round selected by. In: $run, $round.
SELECT
    role,
    scores
FROM round_scores
WHERE run = $run AND round = $round
ORDER BY role;
