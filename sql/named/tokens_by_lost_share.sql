-- The tokens of the vocabulary that were lost most often, by the share of their occurrences.
-- In: $run = last, $round = last, $at_least = 20, $most = 20. Tokens that stand in responses less
-- often than $at_least are left out. Influence in nats; positive where the reference improved.
SELECT
    token_id,
    text,
    response_tokens,
    response_tokens - kept_tokens AS lost_tokens,
    lost_tokens / response_tokens AS lost_share,
    mean_influence
FROM token_stats
WHERE run = $run AND round = $round AND response_tokens >= $at_least
ORDER BY lost_share DESC, lost_tokens DESC, token_id ASC
LIMIT $most;
