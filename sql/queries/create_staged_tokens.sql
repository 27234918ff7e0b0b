-- The response tokens of the shard at hand. A score that is missing is NULL, never NaN.
CREATE OR REPLACE TEMP TABLE staged_tokens (
    sample INTEGER NOT NULL,  -- its row in the shard
    source VARCHAR NOT NULL,
    turn SMALLINT NOT NULL,
    token_id INTEGER NOT NULL,
    base_nll FLOAT CHECK (isfinite(base_nll)),
    reference_nll FLOAT CHECK (isfinite(reference_nll)),
    influence DOUBLE,
    bin INTEGER NOT NULL,  -- see staged_bins
    kept BOOLEAN NOT NULL
);
