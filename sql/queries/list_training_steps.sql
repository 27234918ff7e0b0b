-- The course of a training. In: $model, the id of the artifact. Loss in nats; NULL: skipped.
SELECT
    step,
    loss,
    learning_rate,
    kept_tokens,
    tokens,
    scored_tokens,
    gradient_norm,
    seconds,
    tokens_per_second
FROM training_steps
WHERE model = $model
ORDER BY step;
