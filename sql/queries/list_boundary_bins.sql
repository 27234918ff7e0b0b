-- The bins in which a quantile of the round's influences lies.
SELECT DISTINCT bin
FROM staged_boundaries
ORDER BY bin;
