-- Standard errors, in nats, of two means over the tokens of cleaned drops, as a whole (source NULL)
-- and by source: those of a ratio over clusters (Cochran, Sampling Techniques, 1977), because the
-- tokens of a sample are alike. NULL for a single sample. In: $runs.
WITH means AS (
    SELECT
        run,
        source,
        unnest(['base_nll', 'influence']) AS figure,
        unnest([mean_base_nll, mean_influence]) AS mean,
        response_tokens::DOUBLE AS num
    FROM sample_stats
    WHERE round = 0 AND list_contains($runs, run)
),

summed AS (
    SELECT
        run,
        source,
        figure,
        count(*) / nullif(count(*) - 1, 0) AS correction,
        sum(num) AS tokens,
        sum(num * mean) / sum(num) AS centre,
        sum((num * mean) ^ 2) - 2 * centre * sum(num ^ 2 * mean) + centre ^ 2 * sum(num ^ 2)
            AS squares
    FROM means
    WHERE mean IS NOT NULL
    GROUP BY GROUPING SETS ((run, figure), (run, source, figure))
)

SELECT
    run,
    source,
    max(sqrt(correction * greatest(squares, 0)) / tokens) FILTER (WHERE figure = 'base_nll')
        AS base_nll_error,
    max(sqrt(correction * greatest(squares, 0)) / tokens) FILTER (WHERE figure = 'influence')
        AS influence_error
FROM summed
GROUP BY run, source;
