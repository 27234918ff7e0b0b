-- Keep the summaries by turn of the round at hand.
INSERT INTO turn_stats BY NAME
SELECT
    $run AS run,
    $round AS round,
    * EXCLUDE (source, one_sided_tokens)
FROM summaries
WHERE turn IS NOT NULL;
