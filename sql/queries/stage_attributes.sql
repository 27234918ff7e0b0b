-- Add up the numbers of the response tokens of one shard. In: `given`: a column for each number,
-- and final_weight, what it weighed in the end.
INSERT INTO staged_attributes BY NAME
WITH summed AS (
    SELECT
        sign(final_weight) AS weight_sign,
        struct_pack(
            tokens := count(COLUMNS(* EXCLUDE (final_weight))),
            total := sum(COLUMNS(* EXCLUDE (final_weight))::DOUBLE)
        ) AS '\0'  -- noqa: RF05
    FROM given
    GROUP BY weight_sign
)

SELECT
    attribute,
    weight_sign,
    sums.*
FROM summed UNPIVOT (sums FOR attribute IN (COLUMNS(* EXCLUDE (weight_sign))));
