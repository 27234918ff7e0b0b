-- How many tokens each round of a run dropped that the round before kept, and the other way round.
-- In: $run = last. Over the response tokens that both rounds decided on; rounds that share no token
-- with the one before are left out. Overlap: kept in both, as a share of those kept in either.
SELECT
    round,
    coalesce(source, 'all together') AS of_source,
    shared_tokens,
    kept_before - kept_both AS newly_dropped,
    kept_now - kept_both AS newly_kept,
    (newly_dropped + newly_kept) / shared_tokens AS flipped_share,
    overlap
FROM overlap_stats
WHERE run = $run
ORDER BY round ASC, source ASC NULLS FIRST;
