-- The samples of one corpus, without the rows that repeat an earlier one.
-- In: $view, $corpus, and $files in shard order.
CREATE OR REPLACE VIEW $view AS
SELECT
    sample_id,
    source,
    input_ids,
    response,
    turn
FROM read_parquet($files) AS files
WHERE NOT EXISTS (
    SELECT 1
    FROM duplicates
    WHERE
        duplicates.corpus = $corpus
        AND duplicates.shard = files.file_index
        AND duplicates.shard_row = files.file_row_number
);
