-- The rounds that a sample is in. In: $sample.
SELECT
    run,
    round,
    source,
    response_tokens,
    kept_tokens
FROM sample_stats
WHERE sample_id = $sample
ORDER BY run, round;
