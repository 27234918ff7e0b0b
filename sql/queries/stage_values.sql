-- Add those influences of one shard that lie in a bin with a quantile.
-- In: `given`: source, turn, bin and influence of tokens; staged_boundaries.
INSERT INTO staged_values BY NAME
WITH grouped AS (
    SELECT
        CASE WHEN groupings.by_source THEN given.source END AS source,  -- noqa: RF04
        CASE WHEN groupings.by_turn THEN given.turn END AS turn,
        given.bin,
        given.influence
    FROM given
    CROSS JOIN (
        VALUES (FALSE, FALSE), (TRUE, FALSE), (FALSE, TRUE)
    ) AS groupings (by_source, by_turn)
)

SELECT
    grouped.source,
    grouped.turn,
    grouped.bin,
    grouped.influence,
    count(*) AS tokens
FROM grouped
SEMI JOIN staged_boundaries AS boundaries
    ON
        grouped.bin = boundaries.bin
        AND grouped.source IS NOT DISTINCT FROM boundaries.source
        AND grouped.turn IS NOT DISTINCT FROM boundaries.turn
GROUP BY grouped.source, grouped.turn, grouped.bin, grouped.influence;
