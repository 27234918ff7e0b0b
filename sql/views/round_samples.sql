-- The samples of one round with their weights and whatever else its selection says of their tokens,
-- as lists along input_ids. No sample is lost by a join: order and lengths were compared when the
-- round was recorded.
-- In: $view, $run, $round, $corpus, and the names of the views that read its artifacts.
CREATE OR REPLACE VIEW $view AS
SELECT
    $run AS run,
    $round AS round,
    $corpus AS corpus,
    samples.*,
    selection.* EXCLUDE (sample_id, source, num_kept)
FROM query_table($samples) AS samples
LEFT JOIN query_table($selection) AS selection ON samples.sample_id = selection.sample_id;
