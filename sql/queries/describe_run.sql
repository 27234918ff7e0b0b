-- What a run was asked for. In: $run. Settings, inputs and models are JSON.
SELECT
    flow,
    num_rounds,
    settings,
    inputs,
    models
FROM runs
WHERE run = $run;
