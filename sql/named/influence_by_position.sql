-- How influence and kept share change along the response, from its first token on.
-- In: $run = last, $round = last. Reads the tokens of the round. Positions count from 0 at the
-- first token of the sample's first response, in bins that double. Influence and losses in nats.
WITH positions AS (
    SELECT
        generate_subscripts(input_ids, 1) - list_position(response, TRUE) AS place,
        unnest(response) AS is_response,
        unnest(coalesce(decided, weight)) AS weight,
        unnest(base_nll) AS base_nll,
        unnest(reference_nll) AS reference_nll
    FROM samples
    WHERE run = $run AND round = $round
)

SELECT
    CASE WHEN place = 0 THEN 0 ELSE 2 ** floor(log2(place)) END::BIGINT AS from_position,
    count(*) AS response_tokens,
    count(*) FILTER (WHERE weight > 0) AS kept_tokens,
    kept_tokens / response_tokens AS kept_share,
    avg(base_nll::DOUBLE - reference_nll::DOUBLE) AS mean_influence,
    avg(base_nll::DOUBLE) AS mean_base_nll,
    avg(reference_nll::DOUBLE) AS mean_reference_nll
FROM positions
WHERE is_response
GROUP BY from_position
ORDER BY from_position;
