-- The rows of one corpus that became no sample. In: $view, $corpus, $files.
CREATE OR REPLACE VIEW $view AS
SELECT
    $corpus AS corpus,
    *
FROM read_parquet($files);
