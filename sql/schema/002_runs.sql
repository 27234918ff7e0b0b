-- What was asked for, and which artifacts each round used and made.
CREATE TABLE runs (
    run VARCHAR PRIMARY KEY,
    settings VARCHAR NOT NULL,  -- JSON
    inputs VARCHAR NOT NULL,  -- JSON: name, source, format, num_bytes and sha256 of each
    models VARCHAR NOT NULL  -- JSON: fingerprint by role
);

CREATE TABLE rounds (
    run VARCHAR NOT NULL REFERENCES runs (run),
    round INTEGER NOT NULL,  -- from 0; a one-shot clean is round 0
    corpus VARCHAR NOT NULL,  -- ids of the artifacts
    base_scores VARCHAR,  -- NULL: the method needs none
    reference_scores VARCHAR,
    selection VARCHAR NOT NULL,
    PRIMARY KEY (run, round)
);
