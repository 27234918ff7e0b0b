-- How the influences of a round's tokens are distributed, and how much of each bin was kept.
-- In: $run = last, $round = last, $width = 0.5. Bins of $width nats, best a multiple of 0.25.
-- Influence is positive where the reference improved.
SELECT
    floor(lower_nats / $width) * $width AS from_nats,
    sum(influence_tokens)::BIGINT AS tokens,
    sum(kept_tokens)::BIGINT AS kept_tokens,
    sum(kept_tokens) / sum(influence_tokens) AS kept_share
FROM influence_histogram
WHERE run = $run AND round = $round
GROUP BY from_nats
ORDER BY from_nats;
