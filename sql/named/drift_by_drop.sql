-- What each cleaned drop was like, and how it differs from the one before it by the same method.
-- In: $runs = as begun, $most = 50. The last ones of these runs are shown; of runs that are given,
-- with commas between them, the order is kept. Influence and losses in nats; influence is positive
-- where the reference improved.
WITH drops AS (
    SELECT
        runs.settings ->> '$.method' AS method,  -- noqa: RF04
        list_position($runs, runs.run) AS place,
        stats.*
    FROM runs
    INNER JOIN round_stats AS stats ON runs.run = stats.run
    WHERE runs.flow = 'clean' AND list_contains($runs, runs.run)
),

compared AS (
    SELECT
        method,
        place,
        run,
        read_rows,
        quarantined_rows / nullif(read_rows, 0) AS quarantined_share,
        response_tokens,
        kept_share,
        kept_share - lag(kept_share) OVER earlier AS kept_change,
        mean_influence,
        mean_influence - lag(mean_influence) OVER earlier AS influence_change,
        mean_base_nll,
        mean_base_nll - lag(mean_base_nll) OVER earlier AS base_nll_change
    FROM drops
    WINDOW earlier AS (PARTITION BY method ORDER BY place)
    ORDER BY place DESC
    LIMIT $most
)

SELECT * EXCLUDE (place)
FROM compared
ORDER BY method, place;
