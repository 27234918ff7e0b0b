-- The kept tokens of a round that a model expected least, each with the text around it.
-- In: $run = last, $round = last, $around = 8, $most = 20. nll in nats: of the base, or of the
-- reference where the base was not asked. The token stands between » and «, with up to $around
-- tokens on each side, the prompt included.
WITH surprising AS (
    SELECT
        sample_id,
        source,
        position,
        coalesce(base_nll, reference_nll) AS nll,
        influence
    FROM tokens
    WHERE run = $run AND round = $round AND coalesce(decided, weight) > 0 AND nll IS NOT NULL
    ORDER BY nll DESC, sample_id ASC, position ASC
    LIMIT $most
),

around AS (
    SELECT
        surprising.sample_id,
        surprising.position,
        generate_subscripts(samples.input_ids, 1) - 1 AS place,
        unnest(samples.input_ids) AS token_id
    FROM surprising
    INNER JOIN samples ON surprising.sample_id = samples.sample_id
    WHERE samples.run = $run AND samples.round = $round
),

texts AS (
    SELECT
        around.sample_id,
        around.position,
        string_agg(
            CASE
                WHEN around.place = around.position THEN '»' || vocabulary.text || '«'
                ELSE vocabulary.text
            END,
            '' ORDER BY around.place
        ) AS context
    FROM around
    INNER JOIN rounds ON rounds.run = $run AND rounds.round = $round
    INNER JOIN vocabulary
        ON rounds.whole = vocabulary.corpus AND around.token_id = vocabulary.token_id
    WHERE around.place BETWEEN around.position - $around AND around.position + $around
    GROUP BY around.sample_id, around.position
)

SELECT
    surprising.nll,
    surprising.influence,
    texts.context,
    surprising.source,
    surprising.sample_id,
    surprising.position
FROM surprising
LEFT JOIN texts
    ON surprising.sample_id = texts.sample_id AND surprising.position = texts.position
ORDER BY surprising.nll DESC, surprising.sample_id ASC, surprising.position ASC;
