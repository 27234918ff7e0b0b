-- How the numbers that a method gave to a round's tokens are distributed, in bins of $width.
-- In: $run, $round, $width, and the bins $first and $last, which take what lies beyond them.
WITH tokens AS (
    SELECT
        unnest(score)::DOUBLE AS score,
        unnest(weight) AS weight,
        unnest(decided) AS decided
    FROM samples
    WHERE run = $run AND round = $round
)

SELECT
    greatest($first, least($last, floor(score / $width)))::INTEGER AS bin,
    count(*) AS tokens,
    count(*) FILTER (WHERE coalesce(decided, weight) > 0) AS kept_tokens
FROM tokens
WHERE isfinite(score)
GROUP BY bin
ORDER BY bin;
