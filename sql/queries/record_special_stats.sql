-- Count the response tokens of the round at hand that are special to the tokenizer, by source.
-- In: $run, $round, and $whole, the corpus with the vocabulary.
INSERT INTO special_stats BY NAME
SELECT
    $run AS run,
    $round AS round,
    samples.source,
    tokens.token_id,
    count(*) AS response_tokens,
    count(*) FILTER (WHERE tokens.kept) AS kept_tokens
FROM staged_tokens AS tokens
INNER JOIN staged_samples AS samples ON tokens.sample = samples.sample
INNER JOIN vocabulary
    ON
        vocabulary.corpus = $whole
        AND tokens.token_id = vocabulary.token_id
        AND vocabulary.special
GROUP BY samples.source, tokens.token_id;
