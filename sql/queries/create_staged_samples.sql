-- The samples of the round at hand, with what sample_stats says of them.
CREATE OR REPLACE TEMP TABLE staged_samples (
    sample_id VARCHAR NOT NULL,
    source VARCHAR NOT NULL,
    tokens INTEGER NOT NULL,
    response_tokens BIGINT NOT NULL,
    kept_tokens BIGINT NOT NULL,
    mean_influence DOUBLE,
    mean_base_nll DOUBLE,
    mean_reference_nll DOUBLE
);
