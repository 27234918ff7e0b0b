-- Between which numbers of its method nearly all tokens of a round lie. In: $run, $round. NULL: no
-- token has a number.
WITH scores AS (
    SELECT unnest(score)::DOUBLE AS score
    FROM samples
    WHERE run = $run AND round = $round
)

SELECT
    approx_quantile(score, 0.01) AS lowest,
    approx_quantile(score, 0.99) AS highest
FROM scores
WHERE isfinite(score);
