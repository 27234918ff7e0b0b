-- A page of the samples of a round, in the order of a measure: those without it come last.
-- In: $run, $round, $source or NULL for all, $prefix of the ids, $measure, $sign (1: the lowest
-- first, -1: the highest first), $most, and what the page before ended with: $after_rank and
-- $after_sample, both NULL for the first page. Influence in nats; positive where the reference
-- improved.
WITH measured AS (
    SELECT
        sample_id,
        source,
        response_tokens,
        kept_tokens,
        kept_tokens / nullif(response_tokens, 0) AS kept_share,
        mean_influence,
        mean_base_nll
    FROM sample_stats
    WHERE
        run = $run
        AND round = $round
        AND ($source IS NULL OR source = $source)
        AND starts_with(sample_id, $prefix)
),

ranked AS (
    SELECT
        *,
        CASE $measure
            WHEN 'influence' THEN mean_influence
            WHEN 'kept' THEN kept_share
            WHEN 'loss' THEN mean_base_nll
        END AS value,  -- noqa: RF04
        coalesce(value * $sign, 'infinity'::DOUBLE) AS rank  -- noqa: RF04
    FROM measured
)

SELECT * EXCLUDE (value)
FROM ranked
WHERE $after_sample IS NULL OR (rank, sample_id) > ($after_rank, $after_sample)
ORDER BY rank, sample_id
LIMIT $most;
