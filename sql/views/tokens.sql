-- Every response token of every round, read from the artifacts. Name run and round in the WHERE
-- clause: only their files are then read.
-- nll and entropy in nats, NULL where there is no score. Influence in nats: base - reference,
-- positive where the reference improved. weight above 0: kept, below 0: unlearned, 0: dropped or
-- unscorable. decided: what the round's training decided on the token last, if its method acts at
-- each step; the weight then says only that it could be chosen. Columns that not every method has
-- come last.
CREATE OR REPLACE VIEW tokens AS
WITH positions AS (
    SELECT
        run,
        round,
        sample_id,
        source,
        generate_subscripts(input_ids, 1) - 1 AS position,  -- noqa: RF04
        unnest(COLUMNS(* EXCLUDE (run, round, corpus, sample_id, source))) AS '\0'  -- noqa: RF05
    FROM samples
)

SELECT
    positions.run,
    positions.round,
    positions.sample_id,
    positions.source,
    positions.position,  -- in the sample, from 0, the prompt included
    positions.turn,
    positions.input_ids AS token_id,
    vocabulary.text,  -- the token as people read it; NULL: not in the vocabulary
    positions.base_nll,
    positions.reference_nll,
    positions.base_nll::DOUBLE - positions.reference_nll::DOUBLE AS influence,  -- in nats
    positions.base_entropy,
    positions.reference_entropy,
    positions.* EXCLUDE (
        run,
        round,
        sample_id,
        source,
        position,
        turn,
        input_ids,
        response,
        base_nll,
        reference_nll,
        base_entropy,
        reference_entropy
    )
FROM positions
INNER JOIN rounds ON positions.run = rounds.run AND positions.round = rounds.round
LEFT JOIN vocabulary
    ON rounds.whole = vocabulary.corpus AND positions.input_ids = vocabulary.token_id
WHERE positions.response;
