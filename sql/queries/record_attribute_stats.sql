-- Keep the means of every number that response tokens of the round at hand have.
INSERT INTO attribute_stats BY NAME
WITH sums AS (
    SELECT
        attribute,
        weight_sign,
        sum(tokens)::BIGINT AS tokens,
        sum(total) AS total
    FROM staged_attributes
    GROUP BY attribute, weight_sign
)

SELECT
    $run AS run,
    $round AS round,
    attribute,
    sum(tokens)::BIGINT AS tokens,
    sum(total) / nullif(sum(tokens), 0) AS mean,
    max(total / tokens) FILTER (WHERE weight_sign = 1) AS kept_mean,
    max(total / tokens) FILTER (WHERE weight_sign = 0) AS dropped_mean,
    max(total / tokens) FILTER (WHERE weight_sign = -1) AS unlearned_mean
FROM sums
GROUP BY attribute;
