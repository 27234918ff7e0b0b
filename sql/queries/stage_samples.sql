-- Add the samples of the shard at hand. Those without a response token count 0 of them.
-- In: `given`: sample, sample_id, source, tokens; staged_tokens.
INSERT INTO staged_samples BY NAME
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
    given.sample_id,
    given.source,
    given.tokens,
    coalesce(by_sample.response_tokens, 0) AS response_tokens,
    coalesce(by_sample.kept_tokens, 0) AS kept_tokens,
    by_sample.mean_influence,
    by_sample.mean_base_nll,
    by_sample.mean_reference_nll
FROM given
LEFT JOIN by_sample ON given.sample = by_sample.sample;
