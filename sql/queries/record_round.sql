-- Remember which artifacts a round used and made.
INSERT INTO rounds VALUES ($run, $round, $corpus, $base_scores, $reference_scores, $selection);
