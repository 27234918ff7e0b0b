-- The first ids of samples that begin so, of one run or of any.
-- In: $prefix, $run or NULL, $most.
SELECT DISTINCT sample_id
FROM sample_stats
WHERE starts_with(sample_id, $prefix) AND run = coalesce($run, run)
ORDER BY sample_id != $prefix, sample_id
LIMIT $most;
