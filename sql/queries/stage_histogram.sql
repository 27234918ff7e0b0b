-- Add up the shard at hand. In: staged_tokens.
INSERT INTO staged_histogram BY NAME
SELECT
    source,
    floor(influence / 0.25) * 0.25 AS lower_nats,
    count(*) AS influence_tokens,
    count(*) FILTER (WHERE kept) AS kept_tokens
FROM staged_tokens
WHERE influence IS NOT NULL
GROUP BY source, lower_nats
ON CONFLICT DO UPDATE SET
    influence_tokens = influence_tokens + excluded.influence_tokens,
    kept_tokens = kept_tokens + excluded.kept_tokens;
