-- Summarise the round at hand by sample. Samples without a response token count 0 of them.
INSERT INTO sample_stats BY NAME
WITH by_sample AS (
    SELECT
        sample,
        count(*) AS response_tokens,
        count(*) FILTER (WHERE kept) AS kept_tokens,
        avg(influence) AS mean_influence,
        avg(base_nll::DOUBLE) AS mean_base_nll,
        avg(reference_nll::DOUBLE) AS mean_reference_nll
    FROM staged_tokens
    GROUP BY sample
)

SELECT
    $run AS run,
    $round AS round,
    samples.sample_id,
    samples.source,
    samples.tokens,
    coalesce(by_sample.response_tokens, 0) AS response_tokens,
    coalesce(by_sample.kept_tokens, 0) AS kept_tokens,
    by_sample.mean_influence,
    by_sample.mean_base_nll,
    by_sample.mean_reference_nll
FROM staged_samples AS samples
LEFT JOIN by_sample ON samples.sample = by_sample.sample;
