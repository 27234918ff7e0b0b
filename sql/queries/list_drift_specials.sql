-- Response tokens of cleaned drops that are special to the tokenizer, as a whole (source NULL) and
-- by source. In: $runs.
SELECT
    run,
    source,
    sum(response_tokens)::BIGINT AS eos_tokens,
    sum(kept_tokens)::BIGINT AS kept_eos_tokens
FROM special_stats
WHERE round = 0 AND list_contains($runs, run)
GROUP BY GROUPING SETS ((run), (run, source));
