-- Count the round's influences in bins of 0.25 nats.
INSERT INTO influence_histogram BY NAME
SELECT
    $run AS run,
    $round AS round,
    floor(influence / 0.25) * 0.25 AS lower_nats,
    count(*) AS influence_tokens,
    count(*) FILTER (WHERE kept) AS kept_tokens
FROM staged_tokens
WHERE influence IS NOT NULL
GROUP BY lower_nats;
