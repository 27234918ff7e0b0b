-- Remember the files of an artifact. In: `given`, an Arrow table of the columns of shards.
INSERT INTO shards BY NAME
SELECT * FROM given
ON CONFLICT DO NOTHING;
