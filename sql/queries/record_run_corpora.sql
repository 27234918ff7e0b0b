-- Remember the corpora that a run made of files. In: `given`, with the columns of run_corpora.
INSERT INTO run_corpora BY NAME
SELECT * FROM given;
