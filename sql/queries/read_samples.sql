-- Some rows of an artifact's files, with the places at which they stand. In: $files, $samples.
SELECT
    files.*,
    files.file_index,
    files.file_row_number
FROM read_parquet($files) AS files
WHERE files.sample_id IN (SELECT unnest($samples));
