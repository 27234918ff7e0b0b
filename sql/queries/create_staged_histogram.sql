-- Counts of the influences of the round at hand in bins of 0.25 nats, by source.
CREATE OR REPLACE TEMP TABLE staged_histogram (
    source VARCHAR NOT NULL,
    lower_nats DOUBLE NOT NULL,
    influence_tokens BIGINT NOT NULL,
    kept_tokens BIGINT NOT NULL,
    PRIMARY KEY (source, lower_nats)
);
