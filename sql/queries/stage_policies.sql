-- Count the tokens of one shard that policies decided on. In: `given`: source, policy and
-- final_weight of the response tokens.
INSERT INTO staged_policies BY NAME
SELECT
    source,
    policy,
    count(*) FILTER (WHERE final_weight > 0) AS kept_tokens,
    count(*) FILTER (WHERE final_weight <= 0) AS dropped_tokens
FROM given
WHERE policy IS NOT NULL
GROUP BY source, policy
ON CONFLICT DO UPDATE SET
    kept_tokens = kept_tokens + excluded.kept_tokens,
    dropped_tokens = dropped_tokens + excluded.dropped_tokens;
