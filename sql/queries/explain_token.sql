-- Everything known of one response token: one row for each round of the run that decided on it.
-- In: $run, $sample, and $position in the sample's tokens, from 0.
SELECT
    tokens.*,
    rounds.selection,
    token_stats.response_tokens AS same_tokens,  -- of the round that are this vocabulary token
    token_stats.kept_tokens AS same_tokens_kept
FROM tokens
INNER JOIN rounds ON tokens.run = rounds.run AND tokens.round = rounds.round
LEFT JOIN token_stats
    ON
        tokens.run = token_stats.run
        AND tokens.round = token_stats.round
        AND tokens.token_id = token_stats.token_id
WHERE tokens.run = $run AND tokens.sample_id = $sample AND tokens.position = $position
ORDER BY tokens.round;
