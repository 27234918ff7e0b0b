-- Every sample of every round: lists along input_ids. Scores are called <role>_<column>; everything
-- else that selections say of tokens has its own name. NULL where a round or a token has none.
-- In: $views, the samples of each round, after those that have all columns in order.
CREATE OR REPLACE VIEW samples AS
SELECT * FROM query_table($views, TRUE);
