-- What each policy changed about the rounds of a run, and the shares of the response tokens that
-- are kept, and that the method alone would have kept. In: $run.
WITH changed AS (
    SELECT
        round,
        policy,
        sum(kept_tokens)::BIGINT AS kept_tokens,
        sum(dropped_tokens)::BIGINT AS dropped_tokens
    FROM policy_stats
    WHERE run = $run
    GROUP BY round, policy
)

SELECT
    changed.*,
    stats.kept_share,
    (
        stats.kept_tokens
        - sum(changed.kept_tokens - changed.dropped_tokens) OVER (PARTITION BY changed.round)
    ) / stats.response_tokens AS kept_by_method
FROM changed
INNER JOIN round_stats AS stats ON stats.run = $run AND changed.round = stats.round
ORDER BY changed.round ASC, changed.kept_tokens + changed.dropped_tokens DESC, changed.policy ASC;
