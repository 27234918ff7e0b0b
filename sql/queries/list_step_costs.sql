-- What each step of each round of a run took. In: $run. NULL: not known.
SELECT
    round,
    step,
    artifact,
    seconds,
    tokens
FROM step_costs
WHERE run = $run
ORDER BY round, step;
