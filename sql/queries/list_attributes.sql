-- How kept and other tokens of a round differ in each number that they have. In: $run, $round.
SELECT
    attribute,
    tokens,
    mean,
    kept_mean,
    dropped_mean,
    unlearned_mean
FROM attribute_stats
WHERE run = $run AND round = $round
ORDER BY attribute;
