-- The samples of one round with their scores and weights, as lists along input_ids. No sample is
-- lost by a join: order and lengths were compared when the round was recorded.
-- In: $view, $run, $round, $corpus, and the names of the views that read its artifacts.
CREATE OR REPLACE VIEW $view AS
SELECT
    $run AS run,
    $round AS round,
    $corpus AS corpus,
    samples.sample_id,
    samples.source,
    samples.input_ids,
    samples.response,
    samples.turn,
    base.nll AS base_nll,
    base.entropy AS base_entropy,
    reference.nll AS reference_nll,
    reference.entropy AS reference_entropy,
    selection.weight
FROM query_table($samples) AS samples
LEFT JOIN query_table($base) AS base ON samples.sample_id = base.sample_id
LEFT JOIN query_table($reference) AS reference ON samples.sample_id = reference.sample_id
LEFT JOIN query_table($selection) AS selection ON samples.sample_id = selection.sample_id;
