-- Remember what was counted while an artifact was made. In: `given`, with the columns of counts.
INSERT INTO counts BY NAME
SELECT * FROM given
ON CONFLICT DO NOTHING;
