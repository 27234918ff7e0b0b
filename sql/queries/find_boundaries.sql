-- Find the bin in which each quantile of the round's influences lies: of all tokens (source and
-- turn NULL), by source and by turn.
CREATE OR REPLACE TEMP TABLE staged_boundaries AS
WITH counted AS (
    SELECT
        source,
        turn,
        bin,
        sum(response_tokens) AS tokens
    FROM staged_bins
    WHERE bin >= 0
    GROUP BY GROUPING SETS ((bin), (source, bin), (turn, bin))
),

placed AS (
    SELECT
        *,
        sum(tokens) OVER (PARTITION BY source, turn ORDER BY bin) AS tokens_until,  -- and in it
        sum(tokens) OVER (PARTITION BY source, turn) AS num
    FROM counted
),

shares (share) AS (
    VALUES (0.01), (0.05), (0.25), (0.50), (0.75), (0.95), (0.99)
)

SELECT
    placed.source,
    placed.turn,
    shares.share,
    min(placed.bin) AS bin,
    min(placed.tokens_until - placed.tokens) AS below,  -- tokens in lower bins
    min(placed.num) AS num  -- tokens with an influence
FROM placed CROSS JOIN shares
WHERE placed.tokens_until >= shares.share * placed.num
GROUP BY placed.source, placed.turn, shares.share;
