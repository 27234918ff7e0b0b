-- The mean of every number that models and method gave to tokens, over the kept and the dropped.
-- In: $run = last, $round = last. A number that is the same for both had no say.
SELECT
    attribute,
    tokens,
    mean,
    kept_mean,
    dropped_mean,
    kept_mean - dropped_mean AS difference
FROM attribute_stats
WHERE run = $run AND round = $round
ORDER BY attribute;
