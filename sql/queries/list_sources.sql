-- The sources of a round, those that lost the largest share of their tokens first.
-- In: $run, $round. Influence in nats; positive where the reference improved.
SELECT
    source,
    response_tokens,
    kept_tokens,
    kept_share,
    mean_influence,
    positive_share
FROM source_stats
WHERE run = $run AND round = $round
ORDER BY kept_share, source;
