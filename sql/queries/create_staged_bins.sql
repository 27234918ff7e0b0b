-- Sums of the response tokens of the round at hand by source, turn and bin of influence. A bin
-- holds neighbouring influences, and those of a higher bin are higher.
CREATE OR REPLACE TEMP TABLE staged_bins (
    source VARCHAR NOT NULL,
    turn SMALLINT NOT NULL,
    bin INTEGER NOT NULL,  -- -1: there is no influence
    response_tokens BIGINT NOT NULL,
    kept_tokens BIGINT NOT NULL,
    positive_tokens BIGINT NOT NULL,
    one_sided_tokens BIGINT NOT NULL,
    base_tokens BIGINT NOT NULL,  -- that the base has scored
    reference_tokens BIGINT NOT NULL,
    influence DOUBLE NOT NULL,  -- sums, in nats
    base_nll DOUBLE NOT NULL,
    reference_nll DOUBLE NOT NULL,
    PRIMARY KEY (source, turn, bin)
);
