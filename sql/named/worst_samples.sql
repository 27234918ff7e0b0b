-- The samples of a round that lost the largest share of their response tokens, worst first.
-- In: $run = last, $round = last, $at_least = 20, $most = 20. Samples with fewer response tokens
-- than $at_least are left out. Influence in nats; positive where the reference improved.
SELECT
    sample_id,
    source,
    response_tokens,
    kept_tokens,
    kept_tokens / response_tokens AS kept_share,
    mean_influence,
    mean_base_nll,
    mean_reference_nll
FROM sample_stats
WHERE run = $run AND round = $round AND response_tokens >= greatest($at_least, 1)
ORDER BY kept_share ASC, response_tokens DESC, sample_id ASC
LIMIT $most;
