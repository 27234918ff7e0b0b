-- How much of each exchange of the conversations was kept: the first answer, the second, and so on.
-- In: $run = last, $round = last. Influence in nats; positive where the reference improved.
SELECT
    turn,
    response_tokens,
    kept_tokens,
    kept_share,
    mean_influence,
    mean_base_nll,
    mean_reference_nll
FROM turn_stats
WHERE run = $run AND round = $round
ORDER BY turn;
