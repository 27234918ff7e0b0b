-- Summarise the round at hand as a whole (source and turn NULL), by source and by turn.
CREATE OR REPLACE TEMP TABLE summaries AS
WITH sums AS (
    SELECT
        source,
        turn,
        sum(response_tokens) AS response_tokens,
        sum(kept_tokens) AS kept_tokens,
        coalesce(sum(response_tokens) FILTER (WHERE bin >= 0), 0) AS influence_tokens,
        sum(one_sided_tokens) AS one_sided_tokens,
        sum(kept_tokens) / sum(response_tokens) AS kept_share,
        sum(positive_tokens) / nullif(influence_tokens, 0) AS positive_share,
        sum(influence) / nullif(influence_tokens, 0) AS mean_influence,
        sum(base_nll) / nullif(sum(base_tokens), 0) AS mean_base_nll,
        sum(reference_nll) / nullif(sum(reference_tokens), 0) AS mean_reference_nll
    FROM staged_bins
    GROUP BY GROUPING SETS ((), (source), (turn))
),

counted AS (
    SELECT
        source,
        turn,
        bin,
        influence,
        sum(tokens) AS tokens
    FROM staged_values
    GROUP BY source, turn, bin, influence
),

ranked AS (
    SELECT
        *,
        sum(tokens) OVER (PARTITION BY source, turn, bin ORDER BY influence) AS place  -- in its bin
    FROM counted
),

quantiles AS (
    SELECT
        boundaries.source,
        boundaries.turn,
        boundaries.share,
        min(ranked.influence) AS influence
    FROM staged_boundaries AS boundaries
    INNER JOIN ranked
        ON
            boundaries.bin = ranked.bin
            AND boundaries.source IS NOT DISTINCT FROM ranked.source
            AND boundaries.turn IS NOT DISTINCT FROM ranked.turn
            AND boundaries.below + ranked.place >= boundaries.share * boundaries.num
    GROUP BY boundaries.source, boundaries.turn, boundaries.share
)

SELECT
    sums.*,
    min(quantiles.influence) FILTER (WHERE quantiles.share = 0.01) AS influence_p01,
    min(quantiles.influence) FILTER (WHERE quantiles.share = 0.05) AS influence_p05,
    min(quantiles.influence) FILTER (WHERE quantiles.share = 0.25) AS influence_p25,
    min(quantiles.influence) FILTER (WHERE quantiles.share = 0.50) AS influence_p50,
    min(quantiles.influence) FILTER (WHERE quantiles.share = 0.75) AS influence_p75,
    min(quantiles.influence) FILTER (WHERE quantiles.share = 0.95) AS influence_p95,
    min(quantiles.influence) FILTER (WHERE quantiles.share = 0.99) AS influence_p99
FROM sums
LEFT JOIN quantiles
    ON
        sums.source IS NOT DISTINCT FROM quantiles.source
        AND sums.turn IS NOT DISTINCT FROM quantiles.turn
GROUP BY ALL;
