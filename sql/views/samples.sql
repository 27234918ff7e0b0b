-- Every sample of every round: lists along input_ids, in nats, NULL where there is no score.
-- In: $views, the samples of each round.
CREATE OR REPLACE VIEW samples AS
SELECT * FROM query_table($views);
