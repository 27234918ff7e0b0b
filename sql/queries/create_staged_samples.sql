-- The samples of the round at hand, numbered across its shards.
CREATE OR REPLACE TEMP TABLE staged_samples (
    sample INTEGER NOT NULL,
    sample_id VARCHAR NOT NULL,
    source VARCHAR NOT NULL,
    tokens INTEGER NOT NULL
);
