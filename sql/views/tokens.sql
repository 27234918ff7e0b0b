-- Every response token of every round, read from the artifacts. Name run and round in the WHERE
-- clause: only their files are then read.
-- nll and entropy in nats, NULL where there is no score. Influence in nats: base - reference,
-- positive where the reference improved. weight 0: dropped, or unscorable where influence is NULL.
CREATE OR REPLACE VIEW tokens AS
WITH positions AS (
    SELECT
        run,
        round,
        sample_id,
        source,
        generate_subscripts(input_ids, 1) - 1 AS position,  -- noqa: RF04
        unnest(response) AS response,
        unnest(turn) AS turn,
        unnest(input_ids) AS token_id,
        unnest(base_nll) AS base_nll,
        unnest(base_entropy) AS base_entropy,
        unnest(reference_nll) AS reference_nll,
        unnest(reference_entropy) AS reference_entropy,
        unnest(weight) AS weight
    FROM samples
)

SELECT
    positions.run,
    positions.round,
    positions.sample_id,
    positions.source,
    positions.position,
    positions.turn,
    positions.token_id,
    vocabulary.text,
    positions.base_nll,
    positions.reference_nll,
    positions.base_nll::DOUBLE - positions.reference_nll::DOUBLE AS influence,
    positions.base_entropy,
    positions.reference_entropy,
    positions.weight
FROM positions
INNER JOIN rounds ON positions.run = rounds.run AND positions.round = rounds.round
LEFT JOIN vocabulary
    ON rounds.whole = vocabulary.corpus AND positions.token_id = vocabulary.token_id
WHERE positions.response;
