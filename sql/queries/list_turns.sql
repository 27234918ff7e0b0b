-- The turns of a round's conversations, in order. In: $run, $round. Influence in nats.
SELECT
    turn,
    response_tokens,
    kept_tokens,
    kept_share,
    mean_influence
FROM turn_stats
WHERE run = $run AND round = $round
ORDER BY turn;
