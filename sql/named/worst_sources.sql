-- The sources of a round that lost the largest share of their response tokens, worst first.
-- In: $run = last, $round = last, $most = 20. Influence and losses in nats per token; influence is
-- positive where the reference improved.
SELECT
    source,
    response_tokens,
    kept_tokens,
    kept_share,
    mean_influence,
    mean_base_nll,
    mean_reference_nll
FROM source_stats
WHERE run = $run AND round = $round
ORDER BY kept_share ASC, response_tokens DESC, source ASC
LIMIT $most;
