-- How the finished arms of a comparison did in lm-eval's tasks. In: $run.
SELECT
    arm,
    seed,
    task,
    value
FROM arm_tasks
WHERE run = $run
ORDER BY task, arm, seed;
