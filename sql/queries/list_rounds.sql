-- Every round of the index, with the ids of its artifacts.
SELECT
    run,
    round,
    corpus,
    base_scores,
    reference_scores,
    selection
FROM rounds
ORDER BY run, round;
