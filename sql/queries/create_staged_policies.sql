-- Counts of the tokens of the round at hand that a policy decided on against the method, by source.
CREATE OR REPLACE TEMP TABLE staged_policies (
    source VARCHAR NOT NULL,
    policy VARCHAR NOT NULL,
    kept_tokens BIGINT NOT NULL,
    dropped_tokens BIGINT NOT NULL,
    PRIMARY KEY (source, policy)
);
