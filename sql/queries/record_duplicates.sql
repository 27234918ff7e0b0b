-- Remember which rows of a corpus repeat an earlier sample. In: `given`, like duplicates.
INSERT INTO duplicates BY NAME
SELECT * FROM given
ON CONFLICT DO NOTHING;
