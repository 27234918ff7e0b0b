-- Why tokens of a round were not kept, where its method says so, most frequent reason first.
-- In: $run = last, $round = last. lost_share: of the response tokens of the round.
SELECT
    reasons.reason,
    sum(reasons.tokens)::BIGINT AS lost_tokens,
    lost_tokens / any_value(stats.response_tokens) AS lost_share,
    first(reasons.source ORDER BY reasons.tokens DESC, reasons.source ASC) AS most_in_source
FROM reason_stats AS reasons
INNER JOIN round_stats AS stats ON reasons.run = stats.run AND reasons.round = stats.round
WHERE reasons.run = $run AND reasons.round = $round
GROUP BY reasons.reason
ORDER BY lost_tokens DESC, reasons.reason ASC;
