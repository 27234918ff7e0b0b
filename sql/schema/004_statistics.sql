-- What each round found. Only response tokens are counted where nothing else is said. A token is
-- kept if its weight is above 0: the weight of the selection, or if the round has trained a model
-- with a method that acts at each step, what the training decided on the token last.
-- Influence is base nll - reference nll in nats: positive where the reference improved. It is NULL
-- where a score is missing, and then takes part in no mean, share or quantile.
-- influence_pNN is the smallest influence that at least NN % of the tokens do not exceed.
CREATE TABLE round_stats (
    run VARCHAR NOT NULL,
    round INTEGER NOT NULL,
    read_rows BIGINT NOT NULL,  -- of the files
    quarantined_rows BIGINT NOT NULL,  -- bad, and kept apart
    skipped_rows BIGINT NOT NULL,  -- duplicates included
    samples BIGINT NOT NULL,  -- of the corpus
    empty_samples BIGINT NOT NULL,  -- with no kept token
    train_samples BIGINT NOT NULL,  -- in the training view
    tokens BIGINT NOT NULL,  -- prompts and templates included
    response_tokens BIGINT NOT NULL,
    candidate_tokens BIGINT,  -- decided on at each step of the training; NULL: there was no such
    kept_tokens BIGINT NOT NULL,
    unlearned_tokens BIGINT NOT NULL,  -- weight < 0
    dropped_tokens BIGINT NOT NULL,  -- weight 0
    unscorable_tokens BIGINT NOT NULL,  -- took no part in the selection
    influence_tokens BIGINT NOT NULL,  -- with an influence
    non_finite_tokens BIGINT NOT NULL,  -- scores of base and reference that were not finite
    one_sided_tokens BIGINT NOT NULL,  -- scored by one of these two only
    kept_share DOUBLE,  -- of the response tokens
    positive_share DOUBLE,  -- of the tokens with an influence
    mean_influence DOUBLE,
    influence_p01 DOUBLE,
    influence_p05 DOUBLE,
    influence_p25 DOUBLE,
    influence_p50 DOUBLE,
    influence_p75 DOUBLE,
    influence_p95 DOUBLE,
    influence_p99 DOUBLE,
    mean_base_nll DOUBLE,  -- nats
    mean_reference_nll DOUBLE,  -- nats
    PRIMARY KEY (run, round),
    CHECK (read_rows = samples + quarantined_rows + skipped_rows),
    CHECK (
        response_tokens = kept_tokens + unlearned_tokens + dropped_tokens + unscorable_tokens
    ),
    CHECK (candidate_tokens = kept_tokens + dropped_tokens),
    CHECK (one_sided_tokens <= non_finite_tokens),
    CHECK (train_samples <= samples)
);

-- The same by source, as the rows name it.
CREATE TABLE source_stats (
    run VARCHAR NOT NULL,
    round INTEGER NOT NULL,
    source VARCHAR NOT NULL,
    response_tokens BIGINT NOT NULL,
    kept_tokens BIGINT NOT NULL CHECK (kept_tokens <= response_tokens),
    influence_tokens BIGINT NOT NULL,
    kept_share DOUBLE,
    positive_share DOUBLE,
    mean_influence DOUBLE,
    influence_p01 DOUBLE,
    influence_p05 DOUBLE,
    influence_p25 DOUBLE,
    influence_p50 DOUBLE,
    influence_p75 DOUBLE,
    influence_p95 DOUBLE,
    influence_p99 DOUBLE,
    mean_base_nll DOUBLE,
    mean_reference_nll DOUBLE,
    PRIMARY KEY (run, round, source)
);

-- The same by turn: the first exchange of the conversations, the second, and so on.
CREATE TABLE turn_stats (
    run VARCHAR NOT NULL,
    round INTEGER NOT NULL,
    turn SMALLINT NOT NULL,  -- which exchange of the conversation, from 0
    response_tokens BIGINT NOT NULL,
    kept_tokens BIGINT NOT NULL CHECK (kept_tokens <= response_tokens),
    influence_tokens BIGINT NOT NULL,
    kept_share DOUBLE,
    positive_share DOUBLE,
    mean_influence DOUBLE,
    influence_p01 DOUBLE,
    influence_p05 DOUBLE,
    influence_p25 DOUBLE,
    influence_p50 DOUBLE,
    influence_p75 DOUBLE,
    influence_p95 DOUBLE,
    influence_p99 DOUBLE,
    mean_base_nll DOUBLE,
    mean_reference_nll DOUBLE,
    PRIMARY KEY (run, round, turn)
);

-- The same by vocabulary token, over the responses.
CREATE TABLE token_stats (
    run VARCHAR NOT NULL,
    round INTEGER NOT NULL,
    token_id INTEGER NOT NULL,
    text VARCHAR,  -- NULL: not in the vocabulary
    response_tokens BIGINT NOT NULL,  -- how often it stands in a response
    kept_tokens BIGINT NOT NULL CHECK (kept_tokens <= response_tokens),
    mean_influence DOUBLE,
    PRIMARY KEY (run, round, token_id)
);

-- The same by sample.
CREATE TABLE sample_stats (
    run VARCHAR NOT NULL,
    round INTEGER NOT NULL,
    sample_id VARCHAR NOT NULL,
    source VARCHAR NOT NULL,
    tokens BIGINT NOT NULL,  -- prompt and template included
    response_tokens BIGINT NOT NULL CHECK (response_tokens <= tokens),
    kept_tokens BIGINT NOT NULL CHECK (kept_tokens <= response_tokens),
    mean_influence DOUBLE,
    mean_base_nll DOUBLE,
    mean_reference_nll DOUBLE,
    PRIMARY KEY (run, round, sample_id)
);

-- How the influences are distributed, in bins of 0.25 nats. Empty bins are left out.
CREATE TABLE influence_histogram (
    run VARCHAR NOT NULL,
    round INTEGER NOT NULL,
    source VARCHAR NOT NULL,
    lower_nats DOUBLE NOT NULL,  -- lower_nats <= influence < lower_nats + 0.25
    influence_tokens BIGINT NOT NULL,
    kept_tokens BIGINT NOT NULL CHECK (kept_tokens <= influence_tokens),
    PRIMARY KEY (run, round, source, lower_nats)
);

-- Response tokens that are special to the tokenizer, such as EOS: by them a model learns to stop.
CREATE TABLE special_stats (
    run VARCHAR NOT NULL,
    round INTEGER NOT NULL,
    source VARCHAR NOT NULL,
    token_id INTEGER NOT NULL,
    response_tokens BIGINT NOT NULL,
    kept_tokens BIGINT NOT NULL CHECK (kept_tokens <= response_tokens),
    PRIMARY KEY (run, round, source, token_id)
);

-- How many response tokens were not kept for which reason, where the method gives reasons. Tokens
-- for which it gives none are in no row.
CREATE TABLE reason_stats (
    run VARCHAR NOT NULL,
    round INTEGER NOT NULL,
    source VARCHAR NOT NULL,
    reason VARCHAR NOT NULL,  -- as the selection names it
    tokens BIGINT NOT NULL CHECK (tokens > 0),  -- not kept for it
    PRIMARY KEY (run, round, source, reason)
);

-- How many response tokens each policy kept against the method, and dropped against it, where
-- policies are set. A token is counted for the policy that changed it last, if it then weighs
-- anything else than the method said. No row: a policy changed nothing, or the method decides at
-- each step of a training, of which is only known what was kept.
CREATE TABLE policy_stats (
    run VARCHAR NOT NULL,
    round INTEGER NOT NULL,
    source VARCHAR NOT NULL,
    policy VARCHAR NOT NULL,  -- as the settings name it
    kept_tokens BIGINT NOT NULL CHECK (kept_tokens >= 0),  -- against the method
    dropped_tokens BIGINT NOT NULL CHECK (dropped_tokens >= 0),  -- against the method
    PRIMARY KEY (run, round, source, policy)
);

-- Means of every number that the models and the method gave to response tokens, over the tokens
-- that have it. NULL: none has.
CREATE TABLE attribute_stats (
    run VARCHAR NOT NULL,
    round INTEGER NOT NULL,
    attribute VARCHAR NOT NULL,  -- a column of the tokens view
    tokens BIGINT NOT NULL,  -- that have it
    mean DOUBLE,  -- over all of them
    kept_mean DOUBLE,  -- over those with a weight above 0
    dropped_mean DOUBLE,  -- weight 0: dropped, or unscorable
    unlearned_mean DOUBLE,  -- weight < 0
    PRIMARY KEY (run, round, attribute)
);

-- How much a round's selection has in common with that of the round before, over the response
-- tokens that both decided on. No row: they share no token.
CREATE TABLE overlap_stats (
    run VARCHAR NOT NULL,
    round INTEGER NOT NULL,
    source VARCHAR,  -- NULL: all together
    shared_tokens BIGINT NOT NULL,  -- of responses that both rounds have
    kept_before BIGINT NOT NULL CHECK (kept_before <= shared_tokens),  -- by the round before
    kept_now BIGINT NOT NULL CHECK (kept_now <= shared_tokens),  -- by this one
    kept_both BIGINT NOT NULL CHECK (kept_both <= least(kept_before, kept_now)),  -- by both
    overlap DOUBLE,  -- kept_both / tokens kept in either round; NULL: none is
    UNIQUE (run, round, source)
);

-- What it took to make the artifacts of a round, by whichever run made them. Held-out losses, and
-- scores of a whole corpus that a round only cuts a part from, are the cost of no round.
CREATE TABLE step_costs (
    run VARCHAR NOT NULL,
    round INTEGER NOT NULL,
    step VARCHAR NOT NULL,  -- corpus, scores.<role>, selection, model
    artifact VARCHAR NOT NULL,
    seconds DOUBLE,  -- over all processes that worked on it; NULL: not known
    tokens BIGINT,  -- run through a model, or looked at; NULL: not known
    PRIMARY KEY (run, round, step)
);
