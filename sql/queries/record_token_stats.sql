-- Summarise the round at hand by vocabulary token. In: $run, $round, and $whole, the corpus with
-- the vocabulary.
INSERT INTO token_stats BY NAME
WITH by_token AS (
    SELECT
        token_id,
        count(*) AS response_tokens,
        count(*) FILTER (WHERE kept) AS kept_tokens,
        avg(influence) AS mean_influence
    FROM staged_tokens
    GROUP BY token_id
)

SELECT
    $run AS run,
    $round AS round,
    by_token.*,
    vocabulary.text
FROM by_token
LEFT JOIN vocabulary
    ON vocabulary.corpus = $whole AND by_token.token_id = vocabulary.token_id;
