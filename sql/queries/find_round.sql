-- What a round is made of: the ids of its corpus, of the corpus that has the vocabulary, of its
-- selection, and of the model whose training decided on its tokens at each step; NULL if none did.
-- In: $run, $round.
SELECT
    rounds.corpus,
    rounds.whole,
    rounds.selection,
    deciding.model
FROM rounds
LEFT JOIN trainings AS deciding
    ON rounds.model = deciding.model AND deciding.candidate_tokens IS NOT NULL
WHERE rounds.run = $run AND rounds.round = $round;
