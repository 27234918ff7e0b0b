-- The influences of the round at hand that lie in a bin with a quantile: of all tokens (source and
-- turn NULL), by source and by turn.
CREATE OR REPLACE TEMP TABLE staged_values (
    source VARCHAR,
    turn SMALLINT,
    bin INTEGER NOT NULL,
    influence DOUBLE NOT NULL,
    tokens BIGINT NOT NULL  -- that have exactly this influence
);
