-- Summarise the round at hand, counts and influence together. The CHECKs of the table are the
-- proof that nothing was lost: what the shards hold must be what the COMMITs declare. Where the
-- training of the round decided at each step, kept and dropped is what it decided last.
-- In: $run, $round; the staged and summarised round; rounds, round_scores, counts and duplicates.
INSERT INTO round_stats BY NAME
WITH declared AS (
    SELECT
        sum(value) FILTER (WHERE artifact = corpus AND name = 'rows') AS read_rows,
        sum(value) FILTER (WHERE artifact = corpus AND name = 'quarantined') AS quarantined_rows,
        sum(value) FILTER (WHERE artifact = corpus AND name = 'skipped') AS skipped_rows,
        sum(value) FILTER (WHERE artifact = selection AND name = 'empty_samples') AS empty_samples,
        sum(value) FILTER (WHERE artifact = selection AND name = 'train_samples') AS train_samples,
        sum(value) FILTER (WHERE artifact = selection AND name = 'dropped_tokens') AS dropped,
        sum(value) FILTER (WHERE artifact = model AND name = 'candidate_tokens') AS candidates,
        sum(value) FILTER (WHERE artifact = model AND name = 'kept_tokens') AS decided,
        sum(value) FILTER (WHERE artifact = model AND name = 'samples')
        - sum(value) FILTER (WHERE artifact = model AND name = 'trained_samples') AS untrained,
        sum(value) FILTER (WHERE artifact = selection AND name = 'unscorable_tokens') AS unscorable
    FROM rounds CROSS JOIN counts
    WHERE run = $run AND round = $round
),

repeated AS (
    SELECT count(*) AS num_rows
    FROM duplicates INNER JOIN rounds ON duplicates.corpus = rounds.corpus
    WHERE rounds.run = $run AND rounds.round = $round
),

sampled AS (
    SELECT
        count(*) AS samples,
        coalesce(sum(tokens), 0) AS tokens
    FROM staged_samples
),

unlearned AS (
    SELECT coalesce(sum(tokens), 0) AS tokens
    FROM staged_attributes
    WHERE attribute = 'weight' AND weight_sign = -1
),

compared AS (
    SELECT scores
    FROM round_scores
    WHERE run = $run AND round = $round AND role IN ('base', 'reference')
),

non_finite AS (
    SELECT coalesce(sum(value), 0) AS tokens
    FROM counts
    WHERE name = 'non_finite_tokens' AND artifact IN (FROM compared)
),

roles AS (
    SELECT count(*) AS num
    FROM compared
)

SELECT
    $run AS run,
    $round AS round,
    declared.read_rows,
    coalesce(declared.quarantined_rows, 0) AS quarantined_rows,
    coalesce(declared.skipped_rows, 0) + repeated.num_rows AS skipped_rows,
    sampled.samples,
    CASE
        WHEN declared.candidates IS NULL THEN declared.empty_samples ELSE declared.untrained
    END AS empty_samples,
    declared.train_samples,
    sampled.tokens,
    coalesce(summaries.response_tokens, 0) AS response_tokens,
    coalesce(summaries.kept_tokens, 0) AS kept_tokens,
    unlearned.tokens AS unlearned_tokens,
    declared.candidates AS candidate_tokens,
    declared.dropped + coalesce(declared.candidates - declared.decided, 0) AS dropped_tokens,
    declared.unscorable AS unscorable_tokens,
    coalesce(summaries.influence_tokens, 0) AS influence_tokens,
    non_finite.tokens AS non_finite_tokens,
    CASE WHEN roles.num = 2 THEN coalesce(summaries.one_sided_tokens, 0) ELSE 0 END
        AS one_sided_tokens,
    summaries.kept_share,
    summaries.positive_share,
    summaries.mean_influence,
    summaries.influence_p01,
    summaries.influence_p05,
    summaries.influence_p25,
    summaries.influence_p50,
    summaries.influence_p75,
    summaries.influence_p95,
    summaries.influence_p99,
    summaries.mean_base_nll,
    summaries.mean_reference_nll
FROM declared CROSS JOIN repeated CROSS JOIN sampled
CROSS JOIN unlearned CROSS JOIN non_finite CROSS JOIN roles
LEFT JOIN summaries ON summaries.source IS NULL AND summaries.turn IS NULL;
