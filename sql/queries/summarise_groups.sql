-- Summarise the round at hand as a whole (source and turn NULL), by source and by turn.
-- Quantiles are read off a sort, which can spill; DuckDB's own quantiles must fit in memory.
CREATE OR REPLACE TEMP TABLE summaries AS
WITH grouped AS (
    SELECT
        tokens.base_nll,
        tokens.reference_nll,
        tokens.influence,
        tokens.kept,
        CASE WHEN groupings.by_source THEN samples.source END AS source,  -- noqa: RF04
        CASE WHEN groupings.by_turn THEN tokens.turn END AS turn
    FROM staged_tokens AS tokens
    INNER JOIN staged_samples AS samples ON tokens.sample = samples.sample
    CROSS JOIN (
        VALUES (FALSE, FALSE), (TRUE, FALSE), (FALSE, TRUE)
    ) AS groupings (by_source, by_turn)
),

ranked AS (
    SELECT
        *,
        row_number() OVER (PARTITION BY source, turn ORDER BY influence) AS place,
        count(influence) OVER (PARTITION BY source, turn) AS num
    FROM grouped
)

SELECT
    source,
    turn,
    count(*) AS response_tokens,
    count(*) FILTER (WHERE kept) AS kept_tokens,
    count(influence) AS influence_tokens,
    count(*) FILTER (WHERE (base_nll IS NULL) <> (reference_nll IS NULL)) AS one_sided_tokens,
    kept_tokens / response_tokens AS kept_share,
    avg((influence > 0)::DOUBLE) AS positive_share,
    avg(influence) AS mean_influence,
    min(influence) FILTER (WHERE place >= 0.01 * num) AS influence_p01,
    min(influence) FILTER (WHERE place >= 0.05 * num) AS influence_p05,
    min(influence) FILTER (WHERE place >= 0.25 * num) AS influence_p25,
    min(influence) FILTER (WHERE place >= 0.50 * num) AS influence_p50,
    min(influence) FILTER (WHERE place >= 0.75 * num) AS influence_p75,
    min(influence) FILTER (WHERE place >= 0.95 * num) AS influence_p95,
    min(influence) FILTER (WHERE place >= 0.99 * num) AS influence_p99,
    avg(base_nll::DOUBLE) AS mean_base_nll,
    avg(reference_nll::DOUBLE) AS mean_reference_nll
FROM ranked
GROUP BY source, turn;
