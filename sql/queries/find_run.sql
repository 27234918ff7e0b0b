-- One row if the run is in the index. In: $run.
SELECT run
FROM runs
WHERE run = $run;
