-- Count the round's influences in bins of 0.25 nats, by source.
INSERT INTO influence_histogram BY NAME
SELECT
    $run AS run,
    $round AS round,
    samples.source,
    floor(tokens.influence / 0.25) * 0.25 AS lower_nats,
    count(*) AS influence_tokens,
    count(*) FILTER (WHERE tokens.kept) AS kept_tokens
FROM staged_tokens AS tokens
INNER JOIN staged_samples AS samples ON tokens.sample = samples.sample
WHERE tokens.influence IS NOT NULL
GROUP BY samples.source, lower_nats;
