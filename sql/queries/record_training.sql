-- Remember how a model was trained, unless another round did. In: `given`, with the columns of
-- trainings.
INSERT INTO trainings BY NAME
SELECT * FROM given
ON CONFLICT DO NOTHING;
