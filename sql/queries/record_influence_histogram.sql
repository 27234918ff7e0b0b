-- Keep the histogram of the round at hand.
INSERT INTO influence_histogram BY NAME
SELECT
    $run AS run,
    $round AS round,
    *
FROM staged_histogram;
