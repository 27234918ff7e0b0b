-- Every round of the index, with the ids of its corpus and selection, and of the model whose
-- training decided on its tokens at each step; NULL if none did.
SELECT
    rounds.run,
    rounds.round,
    rounds.corpus,
    rounds.selection,
    deciding.model
FROM rounds
LEFT JOIN trainings AS deciding
    ON rounds.model = deciding.model AND deciding.candidate_tokens IS NOT NULL
ORDER BY rounds.run, rounds.round;
