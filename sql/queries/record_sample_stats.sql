-- Keep the samples of the round at hand.
INSERT INTO sample_stats BY NAME
SELECT
    $run AS run,
    $round AS round,
    *
FROM staged_samples;
