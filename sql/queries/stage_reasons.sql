-- Count the reasons of one shard. In: `given`: sample, weight and reason of the response tokens.
INSERT INTO staged_reasons BY NAME
SELECT
    sample,
    reason,
    count(*) AS tokens
FROM given
WHERE reason IS NOT NULL AND weight <= 0
GROUP BY sample, reason;
