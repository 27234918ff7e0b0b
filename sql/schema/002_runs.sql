-- What was asked for. A run is here from its first finished round or arm on.
CREATE TABLE runs (
    run VARCHAR PRIMARY KEY,  -- its name
    flow VARCHAR NOT NULL,  -- clean, train, evolve, harden or compare
    num_rounds INTEGER NOT NULL,  -- it can have at most
    settings VARCHAR NOT NULL,  -- JSON
    inputs VARCHAR NOT NULL,  -- JSON: name, source, format, num_bytes and sha256 of each
    models VARCHAR NOT NULL  -- JSON: fingerprint by role
);

-- The corpora that runs made of input files.
CREATE TABLE run_corpora (
    run VARCHAR NOT NULL REFERENCES runs (run),
    role VARCHAR NOT NULL,  -- drop, warmup, holdout or harmful
    corpus VARCHAR NOT NULL,
    PRIMARY KEY (run, role)
);

-- The documents of the runs that this index holds: one for each finished round and arm.
CREATE TABLE documents (
    run VARCHAR NOT NULL REFERENCES runs (run),
    document VARCHAR NOT NULL,  -- below the directory of the run, such as round-000
    content VARCHAR NOT NULL,  -- hash of the document and of what the run was asked for
    PRIMARY KEY (run, document)
);

-- The finished rounds, and which artifacts each used and made.
CREATE TABLE rounds (
    run VARCHAR NOT NULL REFERENCES runs (run),
    round INTEGER NOT NULL,  -- from 0; a one-shot clean is round 0
    corpus VARCHAR NOT NULL,
    whole VARCHAR NOT NULL,  -- the corpus that it is a part of, or itself
    selection VARCHAR NOT NULL,
    model VARCHAR,  -- NULL: none was trained
    promoted BOOLEAN,  -- the model became the reference; NULL: that was not the question
    reason VARCHAR,  -- of promoting or rejecting it
    loss_before DOUBLE,  -- held-out, of the former reference, in nats per token; NULL: not measured
    loss_after DOUBLE,  -- held-out, of the model
    PRIMARY KEY (run, round),
    CHECK ((promoted IS NULL) = (reason IS NULL)),
    CHECK (promoted IS NULL OR model IS NOT NULL)
);

-- The scores that a round selected by: one row for each model that its method asks.
CREATE TABLE round_scores (
    run VARCHAR NOT NULL,
    round INTEGER NOT NULL,
    role VARCHAR NOT NULL,  -- such as base, reference, external
    scores VARCHAR NOT NULL,  -- id of the artifact
    PRIMARY KEY (run, round, role),
    FOREIGN KEY (run, round) REFERENCES rounds (run, round)
);
