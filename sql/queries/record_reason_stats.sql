-- Keep how many tokens of the round at hand were not kept for which reason, by source.
INSERT INTO reason_stats BY NAME
SELECT
    $run AS run,
    $round AS round,
    samples.source,
    reasons.reason,
    sum(reasons.tokens)::BIGINT AS tokens
FROM staged_reasons AS reasons
INNER JOIN staged_samples AS samples ON reasons.sample = samples.sample
GROUP BY samples.source, reasons.reason;
