-- Remember a finished arm. In: `given`, with the columns of arms.
INSERT INTO arms BY NAME
SELECT * FROM given;
