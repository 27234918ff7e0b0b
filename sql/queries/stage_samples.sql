-- Add the samples of one shard. In: `given`, with the columns of staged_samples.
INSERT INTO staged_samples BY NAME
SELECT * FROM given;
