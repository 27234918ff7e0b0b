-- The worst and the best samples of a round: by mean influence in nats, or where no token of the
-- round has one, by kept share. The worst come first.
-- In: $run, $round, $most of both together, $other_run and $other_round, both NULL or a round, and
-- $only_shared: only samples that it has too.
WITH others AS (
    SELECT sample_id
    FROM sample_stats
    WHERE run = $other_run AND round = $other_round
),

measured AS (
    SELECT
        *,
        kept_tokens / response_tokens AS kept_share,
        count(mean_influence) OVER () > 0 AS has_influence,
        sample_id IN (FROM others) AS is_shared
    FROM sample_stats
    WHERE
        run = $run
        AND round = $round
        AND response_tokens > 0
        AND (NOT $only_shared OR sample_id IN (FROM others))
),

ranked AS (
    SELECT
        *,
        if(has_influence, mean_influence, kept_share) AS rank_value,
        row_number() OVER (ORDER BY rank_value, kept_share, sample_id) AS place,
        count(*) OVER () AS num_ranked
    FROM measured
    WHERE rank_value IS NOT NULL
)

SELECT
    sample_id,
    source,
    tokens,
    response_tokens,
    kept_tokens,
    kept_share,
    mean_influence,
    is_shared,
    num_ranked
FROM ranked
WHERE place <= $most - $most // 2 OR place > num_ranked - $most // 2
ORDER BY place;
