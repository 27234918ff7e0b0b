-- How each model was trained.
CREATE TABLE trainings (
    model VARCHAR PRIMARY KEY,  -- id of the artifact
    fingerprint VARCHAR NOT NULL,  -- of the model's content, by which others name it
    corpus VARCHAR NOT NULL,
    selection VARCHAR NOT NULL,
    init VARCHAR NOT NULL,  -- fingerprint of the model that it started from
    precision VARCHAR NOT NULL,  -- of the matrix multiplications
    device VARCHAR NOT NULL,  -- cpu or gpu
    settings VARCHAR NOT NULL,  -- JSON
    samples BIGINT NOT NULL,  -- of the corpus
    trained_samples BIGINT NOT NULL CHECK (trained_samples <= samples),  -- with a weight
    candidate_tokens BIGINT,  -- that were decided on at each step; NULL: the selection decided
    kept_tokens BIGINT NOT NULL,  -- with a weight, of one epoch; decided at each step: of the last
    steps BIGINT NOT NULL,  -- optimizer steps, skipped ones included
    skipped_steps BIGINT NOT NULL CHECK (skipped_steps <= steps),  -- nothing was kept in them
    tokens BIGINT NOT NULL,  -- run through the model, padding excluded
    scored_tokens BIGINT NOT NULL,  -- run through it besides, to decide at each step
    seconds DOUBLE  -- over all processes that worked on it; NULL: not known
);

-- The course of each training, optimizer step by optimizer step.
CREATE TABLE training_steps (
    model VARCHAR NOT NULL,
    step INTEGER NOT NULL CHECK (step >= 1),  -- from 1
    loss DOUBLE,  -- nats; NULL: no token had a weight, so the step was skipped
    learning_rate DOUBLE NOT NULL,  -- of the step
    kept_tokens BIGINT NOT NULL,
    tokens BIGINT NOT NULL,  -- run through the model
    scored_tokens BIGINT NOT NULL,  -- run through it before, to decide on the step
    gradient_norm DOUBLE,  -- before clipping; NULL: not measured
    seconds DOUBLE,  -- the mean, if a crash made it be done again; NULL: not known
    tokens_per_second DOUBLE,  -- run through the model; NULL: not known
    PRIMARY KEY (model, step),
    CHECK ((loss IS NULL) = (kept_tokens = 0))
);
