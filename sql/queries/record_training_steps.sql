-- Remember the course of a training, unless another round did. In: $model; `given`: the columns of
-- training_steps that are measured.
INSERT INTO training_steps BY NAME
SELECT
    $model AS model,  -- noqa: RF04
    step,
    loss,
    learning_rate,
    kept_tokens,
    tokens,
    scored_tokens,
    gradient_norm,
    seconds,
    tokens / nullif(seconds, 0) AS tokens_per_second
FROM given
ON CONFLICT DO NOTHING;
