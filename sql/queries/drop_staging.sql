-- Forget the round at hand.
DROP TABLE staged_tokens;
DROP TABLE staged_samples;
DROP TABLE staged_attributes;
DROP TABLE staged_reasons;
DROP TABLE summaries;
