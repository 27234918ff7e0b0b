-- Remember what a run was asked for. In: `given`, with the columns of runs.
INSERT INTO runs BY NAME
SELECT * FROM given;
