-- What each cleaned drop was like, and how it differs from the one before it by the same method.
-- In: $most = 50. Drops stand in the order of their first file's name; the last ones are shown.
-- Influence and losses in nats; influence is positive where the reference improved.
WITH drops AS (
    SELECT
        runs.settings ->> '$.method' AS method,  -- noqa: RF04
        runs.inputs ->> '$[0].name' AS first_file,
        runs.run,
        stats.read_rows,
        stats.quarantined_rows / nullif(stats.read_rows, 0) AS quarantined_share,
        stats.response_tokens,
        stats.kept_share,
        stats.kept_share - lag(stats.kept_share) OVER drops_before AS kept_change,
        stats.mean_influence,
        stats.mean_influence - lag(stats.mean_influence) OVER drops_before AS influence_change,
        stats.mean_base_nll,
        stats.mean_base_nll - lag(stats.mean_base_nll) OVER drops_before AS base_nll_change
    FROM runs
    INNER JOIN round_stats AS stats ON runs.run = stats.run AND stats.round = 0
    WHERE runs.flow = 'clean'
    WINDOW
        drops_before AS (
            PARTITION BY runs.settings ->> '$.method' ORDER BY runs.inputs ->> '$[0].name', runs.run
        )
),

last_ones AS (
    SELECT *
    FROM drops
    ORDER BY first_file DESC, run DESC
    LIMIT $most
)

SELECT *
FROM last_ones
ORDER BY method, first_file, run;
