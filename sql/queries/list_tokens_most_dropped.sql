-- The vocabulary tokens a round dropped most often. In: $run, $round, $most.
SELECT
    token_id,
    text,
    response_tokens,
    response_tokens - kept_tokens AS not_kept_tokens,
    mean_influence  -- nats; positive where the reference improved
FROM token_stats
WHERE run = $run AND round = $round
ORDER BY not_kept_tokens DESC, token_id ASC
LIMIT $most;
