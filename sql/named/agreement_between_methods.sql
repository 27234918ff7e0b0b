-- How far each two selections over the same corpus agree on which tokens to keep.
-- In: $corpus = last shared. Agreement: tokens kept in both, as a share of those kept in either.
-- Reads the selections of the corpus, and what the training of a round decided last if it did so at
-- each step.
WITH choices AS (
    SELECT
        run,
        round,
        sample_id,
        response,
        coalesce(decided, weight) AS weights
    FROM samples
    WHERE corpus = $corpus
),

paired AS (
    SELECT
        one.run,
        one.round,
        other.run AS other_run,
        other.round AS other_round,
        unnest(one.response) AS is_response,
        unnest(one.weights) AS weight,
        unnest(other.weights) AS other_weight
    FROM choices AS one
    INNER JOIN choices AS other
        ON
            one.sample_id = other.sample_id
            AND (one.run < other.run OR (one.run = other.run AND one.round < other.round))
)

SELECT
    run,
    round,
    other_run,
    other_round,
    count(*) AS response_tokens,
    count(*) FILTER (WHERE weight > 0 AND other_weight > 0) AS kept_both,
    count(*) FILTER (WHERE weight > 0 OR other_weight > 0) AS kept_either,
    kept_both / nullif(kept_either, 0) AS agreement
FROM paired
WHERE is_response
GROUP BY run, round, other_run, other_round
ORDER BY agreement DESC, run ASC, round ASC, other_run ASC, other_round ASC;
