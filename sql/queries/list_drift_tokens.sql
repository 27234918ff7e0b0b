-- Tokens and mean losses of cleaned drops, as a whole (source NULL) and by source. In: $runs.
-- Losses in nats; NULL where not both models were asked.
SELECT
    run,
    NULL AS source,  -- noqa: RF04
    response_tokens,
    kept_tokens,
    CASE WHEN influence_tokens > 0 THEN mean_base_nll END AS mean_base_nll,
    CASE WHEN influence_tokens > 0 THEN mean_reference_nll END AS mean_reference_nll
FROM round_stats
WHERE round = 0 AND list_contains($runs, run)
UNION ALL
SELECT
    run,
    source,
    response_tokens,
    kept_tokens,
    CASE WHEN influence_tokens > 0 THEN mean_base_nll END AS mean_base_nll,
    CASE WHEN influence_tokens > 0 THEN mean_reference_nll END AS mean_reference_nll
FROM source_stats
WHERE round = 0 AND list_contains($runs, run);
