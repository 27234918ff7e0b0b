-- Remember the scores that a round selected by. In: `given`, with the columns of round_scores.
INSERT INTO round_scores BY NAME
SELECT * FROM given;
