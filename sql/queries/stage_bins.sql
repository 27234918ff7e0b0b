-- Add up the shard at hand. In: staged_tokens.
INSERT INTO staged_bins BY NAME
SELECT
    source,
    turn,
    bin,
    count(*) AS response_tokens,
    count(*) FILTER (WHERE kept) AS kept_tokens,
    count(*) FILTER (WHERE influence > 0) AS positive_tokens,
    count(*) FILTER (WHERE (base_nll IS NULL) <> (reference_nll IS NULL)) AS one_sided_tokens,
    count(base_nll) AS base_tokens,
    count(reference_nll) AS reference_tokens,
    coalesce(sum(influence), 0) AS influence,
    coalesce(sum(base_nll::DOUBLE), 0) AS base_nll,
    coalesce(sum(reference_nll::DOUBLE), 0) AS reference_nll
FROM staged_tokens
GROUP BY source, turn, bin
ON CONFLICT DO UPDATE SET
    response_tokens = response_tokens + excluded.response_tokens,
    kept_tokens = kept_tokens + excluded.kept_tokens,
    positive_tokens = positive_tokens + excluded.positive_tokens,
    one_sided_tokens = one_sided_tokens + excluded.one_sided_tokens,
    base_tokens = base_tokens + excluded.base_tokens,
    reference_tokens = reference_tokens + excluded.reference_tokens,
    influence = influence + excluded.influence,
    base_nll = base_nll + excluded.base_nll,
    reference_nll = reference_nll + excluded.reference_nll;
