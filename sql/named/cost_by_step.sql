-- What each step of each round of a run took, over all processes that worked on it.
-- In: $run = last. NULL: not known.
SELECT
    round,
    step,
    seconds,
    tokens,
    tokens / nullif(seconds, 0) AS tokens_per_second,
    artifact
FROM step_costs
WHERE run = $run
ORDER BY round, step;
