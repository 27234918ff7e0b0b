-- Take the response tokens of one shard. In: `given`, with final_weight for kept and otherwise the
-- columns of staged_tokens.
INSERT INTO staged_tokens BY NAME
SELECT
    sample,
    source,
    turn,
    token_id,
    base_nll,
    reference_nll,
    influence,
    coalesce(bin, -1) AS bin,
    coalesce(final_weight > 0, FALSE) AS kept
FROM given;
