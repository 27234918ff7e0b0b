-- The vocabulary tokens that a round dropped, and those that it kept, most often beyond its share:
-- `excess` is how many more were kept than if the round had kept the same share of every token.
-- In: $run, $round, $most of each. Influence in nats.
WITH compared AS (
    SELECT
        tokens.token_id,
        tokens.text,
        tokens.response_tokens,
        tokens.kept_tokens,
        tokens.mean_influence,
        tokens.kept_tokens - tokens.response_tokens * rounds.kept_share AS excess
    FROM token_stats AS tokens
    INNER JOIN round_stats AS rounds ON tokens.run = rounds.run AND tokens.round = rounds.round
    WHERE tokens.run = $run AND tokens.round = $round
),

ranked AS (
    SELECT
        *,
        row_number() OVER (ORDER BY excess, token_id) AS from_dropped,
        row_number() OVER (ORDER BY excess DESC, token_id ASC) AS from_kept
    FROM compared
)

SELECT
    token_id,
    text,
    response_tokens,
    kept_tokens,
    mean_influence,
    excess
FROM ranked
WHERE (excess < 0 AND from_dropped <= $most) OR (excess > 0 AND from_kept <= $most)
ORDER BY excess, token_id;
