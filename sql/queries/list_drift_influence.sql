-- How the influences of cleaned drops are distributed, as a whole (source NULL) and by source, as
-- lists of bins. In: $runs.
WITH bins AS (
    SELECT
        run,
        source,
        lower_nats,
        sum(influence_tokens)::BIGINT AS tokens
    FROM influence_histogram
    WHERE round = 0 AND list_contains($runs, run)
    GROUP BY GROUPING SETS ((run, lower_nats), (run, source, lower_nats))
)

SELECT
    run,
    source,
    list(lower_nats ORDER BY lower_nats) AS lower_nats,
    list(tokens ORDER BY lower_nats) AS tokens
FROM bins
GROUP BY run, source;
