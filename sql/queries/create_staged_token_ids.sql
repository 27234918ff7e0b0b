-- Sums of the response tokens of the round at hand by vocabulary token.
CREATE OR REPLACE TEMP TABLE staged_token_ids (
    token_id INTEGER PRIMARY KEY,
    response_tokens BIGINT NOT NULL,
    kept_tokens BIGINT NOT NULL,
    influence_tokens BIGINT NOT NULL,
    influence DOUBLE NOT NULL  -- sum, in nats
);
