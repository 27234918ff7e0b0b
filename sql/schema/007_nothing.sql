-- What the views read where there is nothing: no round yet, no rejected row.
CREATE SCHEMA artifact;

-- The columns that every round has, NULL where its method asks no such model.
CREATE TABLE artifact.no_samples (
    run VARCHAR,
    round INTEGER,
    corpus VARCHAR,
    sample_id VARCHAR,
    source VARCHAR,
    input_ids INTEGER[],  -- every token of the sample, the prompt included
    response BOOLEAN[],  -- which of them are of a response
    turn SMALLINT[],
    base_nll FLOAT[],  -- loss of the base on the token, in nats
    base_entropy FLOAT[],  -- of what the base expects there, in nats
    reference_nll FLOAT[],  -- the same of the reference
    reference_entropy FLOAT[],  -- of what the reference expects there
    weight FLOAT[],  -- above 0: kept, below 0: unlearned, 0: dropped or unscorable
    decided FLOAT[]  -- what a training that acts at each step decided on the token last
);

CREATE TABLE artifact.no_rejected (
    corpus VARCHAR,
    outcome VARCHAR,  -- quarantined or skipped
    file VARCHAR,  -- that the row stood in
    file_sha256 VARCHAR,  -- of its content
    source VARCHAR,
    line BIGINT,  -- of the file, or row of a table, from 1
    byte_offset BIGINT,  -- of the line in the decompressed file; NULL in tables
    reason VARCHAR,  -- such as missing_field, no_target
    field VARCHAR,  -- that is wrong
    detail VARCHAR,  -- what is wrong with it
    raw BLOB,  -- the line, or the row as JSON; the beginning if it is long
    raw_bytes BIGINT  -- its full length
);
