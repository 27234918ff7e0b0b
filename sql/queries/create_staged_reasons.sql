-- Counts of the reasons for which tokens of the round at hand were not kept, by source.
CREATE OR REPLACE TEMP TABLE staged_reasons (
    source VARCHAR NOT NULL,
    reason VARCHAR NOT NULL,
    tokens BIGINT NOT NULL,
    PRIMARY KEY (source, reason)
);
