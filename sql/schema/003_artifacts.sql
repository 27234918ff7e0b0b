-- The files of the artifacts, as their COMMIT lists them.
CREATE TABLE shards (
    artifact VARCHAR NOT NULL,
    kind VARCHAR NOT NULL,  -- corpora, scores, selections, models or evaluations
    shard INTEGER NOT NULL,  -- from 0
    part VARCHAR NOT NULL,  -- such as shards, train, rejected, vocabulary, model/config.json
    file VARCHAR NOT NULL,  -- below the workspace
    bytes BIGINT NOT NULL,  -- its size
    num_rows BIGINT,  -- NULL: it is no table
    sha256 VARCHAR NOT NULL,  -- of its content
    PRIMARY KEY (artifact, shard, part)
);

-- What was counted while making each artifact.
CREATE TABLE counts (
    artifact VARCHAR NOT NULL,
    name VARCHAR NOT NULL,  -- such as rows, quarantined.<reason>, non_finite_tokens
    value BIGINT NOT NULL,  -- over all shards
    PRIMARY KEY (artifact, name)
);

-- Rows of a corpus that stand in its shards but repeat an earlier sample; nothing else uses them.
CREATE TABLE duplicates (
    corpus VARCHAR NOT NULL,
    shard INTEGER NOT NULL,  -- of the corpus
    shard_row BIGINT NOT NULL,  -- in the file of the shard, from 0
    PRIMARY KEY (corpus, shard, shard_row)
);

-- How many rows of files became no sample of a corpus, and why.
CREATE TABLE rejected_stats (
    corpus VARCHAR NOT NULL,
    source VARCHAR NOT NULL,  -- as the row names it, or its file's
    outcome VARCHAR NOT NULL,  -- quarantined or skipped
    reason VARCHAR NOT NULL,  -- such as missing_field, no_target
    num_rows BIGINT NOT NULL CHECK (num_rows > 0),  -- rejected for it
    PRIMARY KEY (corpus, source, outcome, reason)
);

-- The vocabulary of the tokenizer that made a corpus.
CREATE TABLE vocabulary (
    corpus VARCHAR NOT NULL,
    token_id INTEGER NOT NULL,
    text VARCHAR NOT NULL,  -- the token as people read it
    special BOOLEAN NOT NULL,  -- to the tokenizer, such as EOS
    PRIMARY KEY (corpus, token_id)
);
