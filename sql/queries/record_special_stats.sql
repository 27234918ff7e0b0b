-- Keep the counts of special tokens of the round at hand.
INSERT INTO special_stats BY NAME
SELECT
    $run AS run,
    $round AS round,
    *
FROM staged_specials;
