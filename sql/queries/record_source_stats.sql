-- Keep the summaries by source of the round at hand.
INSERT INTO source_stats BY NAME
SELECT
    $run AS run,
    $round AS round,
    * EXCLUDE (turn, one_sided_tokens)
FROM summaries
WHERE source IS NOT NULL;
