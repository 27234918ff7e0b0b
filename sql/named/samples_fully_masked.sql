-- The samples of a round of which no token is kept, so that nothing is learnt from them.
-- In: $run = last, $round = last, $most = 20. The longest response first. Losses in nats per token.
SELECT
    sample_id,
    source,
    response_tokens,
    tokens,
    mean_influence,
    mean_base_nll,
    mean_reference_nll
FROM sample_stats
WHERE run = $run AND round = $round AND kept_tokens = 0
ORDER BY response_tokens DESC, sample_id ASC
LIMIT $most;
