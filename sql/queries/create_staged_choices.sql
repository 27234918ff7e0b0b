-- What the round at hand and the one before it decided, sample by sample.
CREATE OR REPLACE TEMP TABLE staged_choices (
    is_before BOOLEAN NOT NULL,
    sample_id VARCHAR NOT NULL,
    source VARCHAR NOT NULL,
    tokens_hash UBIGINT NOT NULL,  -- files with the same ids may differ in what they hold
    kept BOOLEAN[] NOT NULL  -- along the tokens; NULL: not of a response
);
