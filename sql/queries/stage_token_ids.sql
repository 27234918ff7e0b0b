-- Add up the shard at hand. In: staged_tokens.
INSERT INTO staged_token_ids BY NAME
SELECT
    token_id,
    count(*) AS response_tokens,
    count(*) FILTER (WHERE kept) AS kept_tokens,
    count(influence) AS influence_tokens,
    coalesce(sum(influence), 0) AS influence
FROM staged_tokens
GROUP BY token_id
ON CONFLICT DO UPDATE SET
    response_tokens = response_tokens + excluded.response_tokens,
    kept_tokens = kept_tokens + excluded.kept_tokens,
    influence_tokens = influence_tokens + excluded.influence_tokens,
    influence = influence + excluded.influence;
