-- Some samples of a round as the view has them. In: $run, $round, $samples.
SELECT *
FROM samples
WHERE run = $run AND round = $round AND sample_id IN (SELECT unnest($samples));
