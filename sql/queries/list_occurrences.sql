-- A page of the places of a vocabulary token in the responses of a round: those of least weight
-- first, and among them those of least influence. In: $run, $round, $source or NULL for all,
-- $token_id, $around: how many tokens are shown on each side, $most, and what the page before ended
-- with: $after_weight, $after_rank, $after_sample and $after_position, all NULL for the first page.
-- nll and influence in nats. The weight is what was decided last: by the round's training, if its
-- method acts at each step.
WITH holding AS (
    SELECT *
    FROM samples
    WHERE
        run = $run
        AND round = $round
        AND ($source IS NULL OR source = $source)
        AND list_contains(input_ids, $token_id)
),

placed AS (
    SELECT
        sample_id,
        source,
        unnest(generate_series(1, len(input_ids))) AS place,  -- from 1, as lists are counted
        input_ids,
        response,
        weight,
        decided,
        base_nll,
        reference_nll
    FROM holding
),

ranked AS (
    SELECT
        sample_id,
        source,
        place - 1 AS position,  -- noqa: RF04
        input_ids[greatest(place - $around, 1):place - 1] AS ids_before,
        input_ids[place + 1:place + $around] AS ids_after,
        coalesce(decided[place], weight[place]) AS weight,
        base_nll[place] AS base_nll,
        reference_nll[place] AS reference_nll,
        base_nll[place]::DOUBLE - reference_nll[place]::DOUBLE AS influence,
        coalesce(influence, 'infinity'::DOUBLE) AS rank  -- noqa: RF04
    FROM placed
    WHERE input_ids[place] = $token_id AND response[place]
)

SELECT *
FROM ranked
WHERE
    $after_sample IS NULL
    OR (weight, rank, sample_id, position)
    > ($after_weight, $after_rank, $after_sample, $after_position)
ORDER BY weight, rank, sample_id, position
LIMIT $most;
