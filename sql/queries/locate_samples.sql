-- Where some samples of a corpus stand, without the rows that repeat an earlier one.
-- In: $corpus, $files in shard order, $samples.
SELECT
    files.sample_id,
    files.file_index,
    files.file_row_number
FROM read_parquet($files) AS files
WHERE
    files.sample_id IN (SELECT unnest($samples))
    AND NOT EXISTS (
        SELECT 1
        FROM duplicates
        WHERE
            duplicates.corpus = $corpus
            AND duplicates.shard = files.file_index
            AND duplicates.shard_row = files.file_row_number
    );
