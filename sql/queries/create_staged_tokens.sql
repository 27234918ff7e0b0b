-- The response tokens of the round at hand. A score that is missing is NULL, never NaN.
CREATE OR REPLACE TEMP TABLE staged_tokens (
    sample INTEGER NOT NULL,
    turn SMALLINT NOT NULL,
    token_id INTEGER NOT NULL,
    base_nll FLOAT CHECK (isfinite(base_nll)),
    reference_nll FLOAT CHECK (isfinite(reference_nll)),
    influence DOUBLE,
    kept BOOLEAN NOT NULL
);
