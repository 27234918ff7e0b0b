-- Tokens and mean losses of cleaned drops, as a whole (source NULL) and by source. In: $runs.
-- Losses in nats; NULL where no such model was asked.
SELECT
    run,
    NULL AS source,  -- noqa: RF04
    response_tokens,
    kept_tokens,
    mean_base_nll,
    mean_reference_nll
FROM round_stats
WHERE round = 0 AND list_contains($runs, run)
UNION ALL
SELECT
    run,
    source,
    response_tokens,
    kept_tokens,
    mean_base_nll,
    mean_reference_nll
FROM source_stats
WHERE round = 0 AND list_contains($runs, run);
