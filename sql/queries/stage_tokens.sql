-- Add the response tokens of one shard. In: `given`: sample, turn, token_id, base_nll,
-- reference_nll, final_weight.
INSERT INTO staged_tokens BY NAME
SELECT
    sample,
    turn,
    token_id,
    base_nll,
    reference_nll,
    base_nll::DOUBLE - reference_nll::DOUBLE AS influence,  -- nats
    coalesce(final_weight > 0, FALSE) AS kept
FROM given;
