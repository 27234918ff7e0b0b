-- Count the reasons of one shard: a selection gives them of tokens that it does not keep. In:
-- `given`: source and reason of the response tokens.
INSERT INTO staged_reasons BY NAME
SELECT
    source,
    reason,
    count(*) AS tokens
FROM given
WHERE reason IS NOT NULL
GROUP BY source, reason
ON CONFLICT DO UPDATE SET tokens = tokens + excluded.tokens;
