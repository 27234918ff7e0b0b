-- Remember which artifacts a round used and made, and what became of its model. In: `given`, with
-- the columns of rounds.
INSERT INTO rounds BY NAME
SELECT * FROM given;
