-- Summarise the round at hand by vocabulary token. In: $run, $round, and $whole, the corpus with
-- the vocabulary.
INSERT INTO token_stats BY NAME
SELECT
    $run AS run,
    $round AS round,
    sums.token_id,
    vocabulary.text,
    sums.response_tokens,
    sums.kept_tokens,
    sums.influence / nullif(sums.influence_tokens, 0) AS mean_influence
FROM staged_token_ids AS sums
LEFT JOIN vocabulary
    ON vocabulary.corpus = $whole AND sums.token_id = vocabulary.token_id;
