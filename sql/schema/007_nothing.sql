-- What the views read where there is nothing: no round yet, no rejected row.
CREATE SCHEMA artifact;

-- The columns that every round has, NULL where its method asks no such model.
CREATE TABLE artifact.no_samples (
    run VARCHAR,
    round INTEGER,
    corpus VARCHAR,
    sample_id VARCHAR,
    source VARCHAR,
    input_ids INTEGER[],
    response BOOLEAN[],
    turn SMALLINT[],
    base_nll FLOAT[],
    base_entropy FLOAT[],
    reference_nll FLOAT[],
    reference_entropy FLOAT[],
    weight FLOAT[],
    decided FLOAT[]
);

CREATE TABLE artifact.no_rejected (
    corpus VARCHAR,
    outcome VARCHAR,
    file VARCHAR,
    file_sha256 VARCHAR,
    source VARCHAR,
    line BIGINT,
    byte_offset BIGINT,
    reason VARCHAR,
    field VARCHAR,
    detail VARCHAR,
    raw BLOB,
    raw_bytes BIGINT
);
