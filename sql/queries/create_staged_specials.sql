-- Counts of the response tokens of the round at hand that are special to the tokenizer, by source.
CREATE OR REPLACE TEMP TABLE staged_specials (
    source VARCHAR NOT NULL,
    token_id INTEGER NOT NULL,
    response_tokens BIGINT NOT NULL,
    kept_tokens BIGINT NOT NULL,
    PRIMARY KEY (source, token_id)
);
