-- The finished arms of comparisons: each was trained with one seed, and evaluated.
CREATE TABLE arms (
    run VARCHAR NOT NULL REFERENCES runs (run),
    arm VARCHAR NOT NULL,  -- the method
    seed BIGINT NOT NULL,  -- of order, dropout and what is drawn
    loss DOUBLE NOT NULL,  -- held-out, in nats per token
    exact_match DOUBLE CHECK (exact_match BETWEEN 0 AND 1),  -- NULL: nothing was generated
    kept_share DOUBLE NOT NULL CHECK (kept_share BETWEEN 0 AND 1),
    forward_passes DOUBLE NOT NULL,  -- of selecting and training, over the corpus
    seconds DOUBLE,  -- of its scores, selections and models, as far as known
    model VARCHAR NOT NULL,  -- the one that was evaluated; see trainings
    models VARCHAR[] NOT NULL,  -- every one that it trained, in order
    selections VARCHAR[] NOT NULL,  -- that they were trained on
    PRIMARY KEY (run, arm, seed)
);

-- What lm-eval found of the models of arms.
CREATE TABLE arm_tasks (
    run VARCHAR NOT NULL,
    arm VARCHAR NOT NULL,  -- as in arms
    seed BIGINT NOT NULL,  -- as in arms
    task VARCHAR NOT NULL,  -- lm-eval task and metric
    value DOUBLE NOT NULL,  -- in the metric's own unit
    PRIMARY KEY (run, arm, seed, task)
);
