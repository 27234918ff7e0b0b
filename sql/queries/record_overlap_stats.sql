-- Compare the selections of the round at hand and the one before it, as a whole (source NULL) and
-- by source. In: $run, $round.
INSERT INTO overlap_stats BY NAME
WITH choices AS (
    SELECT
        now.source,
        unnest(former.kept) AS was_kept,
        unnest(now.kept) AS is_kept
    FROM staged_choices AS now
    INNER JOIN staged_choices AS former
        ON now.sample_id = former.sample_id AND now.tokens_hash = former.tokens_hash
    WHERE former.is_before AND NOT now.is_before
)

SELECT
    $run AS run,
    $round AS round,
    source,
    count(*) AS shared_tokens,
    count(*) FILTER (WHERE was_kept) AS kept_before,
    count(*) FILTER (WHERE is_kept) AS kept_now,
    count(*) FILTER (WHERE was_kept AND is_kept) AS kept_both,
    kept_both / nullif(kept_before + kept_now - kept_both, 0) AS overlap
FROM choices
WHERE was_kept IS NOT NULL AND is_kept IS NOT NULL
GROUP BY GROUPING SETS ((), (source))
HAVING shared_tokens > 0;
