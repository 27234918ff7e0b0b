-- Sums of every number that response tokens of the round at hand have.
CREATE OR REPLACE TEMP TABLE staged_attributes (
    attribute VARCHAR NOT NULL,
    weight_sign TINYINT NOT NULL,  -- of the tokens that are added up
    tokens BIGINT NOT NULL,
    total DOUBLE  -- NULL: none of them has the number
);
