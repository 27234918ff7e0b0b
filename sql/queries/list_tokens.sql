-- A page of the vocabulary tokens of a round, in the order of a measure: those without it are last.
-- In: $run, $round, $text that they hold or NULL, $measure, $sign (1: the lowest first, -1: the
-- highest first), $most, and what the page before ended with: $after_rank and $after_token, both
-- NULL for the first page. Influence in nats; positive where the reference improved.
WITH ranked AS (
    SELECT
        token_id,
        text,
        response_tokens,
        kept_tokens,
        kept_tokens / response_tokens AS kept_share,
        mean_influence,
        CASE $measure
            WHEN 'influence' THEN mean_influence
            WHEN 'kept' THEN kept_share
            WHEN 'dropped' THEN response_tokens - kept_tokens
            WHEN 'count' THEN response_tokens
        END AS value,  -- noqa: RF04
        coalesce(value * $sign, 'infinity'::DOUBLE) AS rank  -- noqa: RF04
    FROM token_stats
    WHERE run = $run AND round = $round AND ($text IS NULL OR contains(text, $text))
)

SELECT * EXCLUDE (value)
FROM ranked
WHERE $after_token IS NULL OR (rank, token_id) > ($after_rank, $after_token)
ORDER BY rank, token_id
LIMIT $most;
