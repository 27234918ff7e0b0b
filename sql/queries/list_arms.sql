-- The finished arms of a comparison. In: $run. Held-out loss in nats per token.
SELECT
    arm,
    seed,
    loss,
    exact_match,
    kept_share,
    forward_passes,
    seconds,
    model
FROM arms
WHERE run = $run
ORDER BY arm, seed;
