-- How a round's influences are distributed, over all sources. In: $run, $round. Bins of 0.25 nats.
SELECT
    lower_nats AS lower_edge,
    sum(influence_tokens)::BIGINT AS tokens,
    sum(kept_tokens)::BIGINT AS kept_tokens
FROM influence_histogram
WHERE run = $run AND round = $round
GROUP BY lower_nats
ORDER BY lower_nats;
