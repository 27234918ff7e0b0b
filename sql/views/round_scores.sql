-- The samples of one round with the scores of one model more, each column as <role>_<column>, or
-- with what its training decided as `decided`.
-- In: $view, $pattern, that of these names, and the names of the views that read the samples and
-- the scores.
CREATE OR REPLACE VIEW $view AS
SELECT
    samples.*,
    COLUMNS(scores.* EXCLUDE (sample_id)) AS $pattern
FROM query_table($samples) AS samples
LEFT JOIN query_table($scores) AS scores ON samples.sample_id = scores.sample_id;
