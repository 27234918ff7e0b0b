-- The reasons for which tokens of a round were not kept, the most frequent first. In: $run, $round.
SELECT
    reason,
    sum(tokens)::BIGINT AS tokens
FROM reason_stats
WHERE run = $run AND round = $round
GROUP BY reason
ORDER BY tokens DESC, reason ASC;
