-- Forget the round at hand.
DROP TABLE staged_tokens;
DROP TABLE staged_samples;
DROP TABLE staged_bins;
DROP TABLE staged_token_ids;
DROP TABLE staged_specials;
DROP TABLE staged_histogram;
DROP TABLE staged_attributes;
DROP TABLE staged_reasons;
DROP TABLE staged_policies;
DROP TABLE staged_boundaries;
DROP TABLE staged_values;
DROP TABLE summaries;
