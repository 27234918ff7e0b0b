-- The reasons for which tokens of the round at hand were not kept, sample by sample.
CREATE OR REPLACE TEMP TABLE staged_reasons (
    sample INTEGER NOT NULL,
    reason VARCHAR NOT NULL,
    tokens BIGINT NOT NULL
);
