-- The files of the artifacts as their COMMIT lists them, and what was counted while making them.
CREATE TABLE shards (
    artifact VARCHAR NOT NULL,
    kind VARCHAR NOT NULL,
    shard INTEGER NOT NULL,
    part VARCHAR NOT NULL,
    file VARCHAR NOT NULL,  -- below the workspace
    bytes BIGINT NOT NULL,
    num_rows BIGINT,  -- NULL: it is no table
    sha256 VARCHAR NOT NULL,
    PRIMARY KEY (artifact, shard, part)
);

CREATE TABLE counts (
    artifact VARCHAR NOT NULL,
    name VARCHAR NOT NULL,  -- such as rows, quarantined.<reason>, non_finite_tokens
    value BIGINT NOT NULL,
    PRIMARY KEY (artifact, name)
);

-- Rows of a corpus that stand in its shards but repeat an earlier sample; nothing else uses them.
CREATE TABLE duplicates (
    corpus VARCHAR NOT NULL,
    shard INTEGER NOT NULL,
    shard_row BIGINT NOT NULL,
    PRIMARY KEY (corpus, shard, shard_row)
);

-- Rows that became no sample of a corpus.
CREATE TABLE rejected_stats (
    corpus VARCHAR NOT NULL,
    source VARCHAR NOT NULL,  -- as the row names it, or its file's
    outcome VARCHAR NOT NULL,  -- quarantined or skipped
    reason VARCHAR NOT NULL,
    num_rows BIGINT NOT NULL CHECK (num_rows > 0),
    PRIMARY KEY (corpus, source, outcome, reason)
);

CREATE TABLE vocabulary (
    corpus VARCHAR NOT NULL,
    token_id INTEGER NOT NULL,
    text VARCHAR NOT NULL,
    special BOOLEAN NOT NULL,
    PRIMARY KEY (corpus, token_id)
);
