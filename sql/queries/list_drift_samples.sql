-- Samples of cleaned drops, as a whole (source NULL) and by source: how many there are, have no
-- kept token, and are as long as max_length allows. In: $runs.
SELECT
    stats.run,
    stats.source,
    count(*) AS samples,
    count(*) FILTER (WHERE stats.kept_tokens = 0) AS empty_samples,
    count(*) FILTER (
        WHERE stats.tokens >= (runs.settings ->> '$.max_length')::BIGINT
    ) AS full_samples
FROM sample_stats AS stats
INNER JOIN runs ON stats.run = runs.run
WHERE stats.round = 0 AND list_contains($runs, stats.run)
GROUP BY GROUPING SETS ((stats.run), (stats.run, stats.source));
