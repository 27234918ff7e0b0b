-- How often each special token of responses, such as EOS, is kept: by it a model learns to stop.
-- In: $run = last, $round = last. The source with the smallest share first.
SELECT
    stats.source,
    stats.token_id,
    vocabulary.text,
    stats.response_tokens,
    stats.kept_tokens,
    stats.kept_tokens / stats.response_tokens AS kept_share
FROM special_stats AS stats
INNER JOIN rounds ON stats.run = rounds.run AND stats.round = rounds.round
LEFT JOIN vocabulary ON rounds.whole = vocabulary.corpus AND stats.token_id = vocabulary.token_id
WHERE stats.run = $run AND stats.round = $round
ORDER BY kept_share, stats.source, stats.token_id;
