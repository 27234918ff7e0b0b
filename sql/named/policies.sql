-- How many tokens of a round each policy kept against the method, and dropped against it.
-- In: $run = last, $round = last. Shares: of the response tokens of the round. No row: no policy
-- changed anything.
SELECT
    policies.policy,
    sum(policies.kept_tokens + policies.dropped_tokens)::BIGINT AS changed_tokens,
    sum(policies.kept_tokens)::BIGINT AS kept_tokens,
    sum(policies.dropped_tokens)::BIGINT AS dropped_tokens,
    sum(policies.kept_tokens) / any_value(stats.response_tokens) AS kept_share,
    sum(policies.dropped_tokens) / any_value(stats.response_tokens) AS dropped_share,
    first(
        policies.source
        ORDER BY policies.kept_tokens + policies.dropped_tokens DESC, policies.source ASC
    ) AS most_in_source
FROM policy_stats AS policies
INNER JOIN round_stats AS stats ON policies.run = stats.run AND policies.round = stats.round
WHERE policies.run = $run AND policies.round = $round
GROUP BY policies.policy
ORDER BY changed_tokens DESC, policies.policy ASC;
