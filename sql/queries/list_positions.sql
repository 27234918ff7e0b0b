-- How the tokens of a round fared by their place in their response, from 1: bin b holds the places
-- from 2^b to 2^(b+1) - 1. In: $run, $round. Influence in nats.
WITH responses AS (
    SELECT
        list_where(turn, response) AS turns,
        list_where(weight, response) AS weights,
        list_where(decided, response) AS decided,
        list_where(base_nll, response) AS base_nll,
        list_where(reference_nll, response) AS reference_nll
    FROM samples
    WHERE run = $run AND round = $round
),

tokens AS (
    SELECT
        turns,
        unnest(turns) AS turn,
        generate_subscripts(turns, 1) AS place,
        unnest(weights) AS weight,
        unnest(decided) AS decided,
        unnest(base_nll)::DOUBLE - unnest(reference_nll)::DOUBLE AS influence
    FROM responses
),

placed AS (
    SELECT
        floor(log2(place - list_position(turns, turn) + 1))::INTEGER AS bin,
        coalesce(decided, weight) > 0 AS is_kept,
        influence
    FROM tokens
)

SELECT
    bin,
    count(*) AS response_tokens,
    count(*) FILTER (WHERE is_kept) AS kept_tokens,
    kept_tokens / response_tokens AS kept_share,
    avg(influence) AS mean_influence
FROM placed
GROUP BY bin
ORDER BY bin;
