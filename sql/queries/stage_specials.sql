-- Add up the shard at hand. In: staged_tokens, and $whole, the corpus with the vocabulary.
INSERT INTO staged_specials BY NAME
SELECT
    tokens.source,
    tokens.token_id,
    count(*) AS response_tokens,
    count(*) FILTER (WHERE tokens.kept) AS kept_tokens
FROM staged_tokens AS tokens
INNER JOIN vocabulary
    ON
        vocabulary.corpus = $whole
        AND tokens.token_id = vocabulary.token_id
        AND vocabulary.special
GROUP BY tokens.source, tokens.token_id
ON CONFLICT DO UPDATE SET
    response_tokens = response_tokens + excluded.response_tokens,
    kept_tokens = kept_tokens + excluded.kept_tokens;
