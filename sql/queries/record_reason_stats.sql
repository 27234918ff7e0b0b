-- Keep how many tokens of the round at hand were not kept for which reason, by source.
INSERT INTO reason_stats BY NAME
SELECT
    $run AS run,
    $round AS round,
    *
FROM staged_reasons;
