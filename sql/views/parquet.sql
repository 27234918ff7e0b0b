-- One part of an artifact as its files hold it. In: $view, $files.
CREATE OR REPLACE VIEW $view AS
SELECT * FROM read_parquet($files);
