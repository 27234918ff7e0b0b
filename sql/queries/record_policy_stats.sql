-- Keep how many tokens of the round at hand each policy kept and dropped against the method, by
-- source.
INSERT INTO policy_stats BY NAME
SELECT
    $run AS run,
    $round AS round,
    *
FROM staged_policies;
