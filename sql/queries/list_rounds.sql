-- Every round of the index, with the ids of its corpus and selection.
SELECT
    run,
    round,
    corpus,
    selection
FROM rounds
ORDER BY run, round;
