-- The course of the training of a round's model, its steps put together in equal groups.
-- In: $run = last trained, $round = last, $most = 20. Loss in nats per kept token over the group;
-- NULL where nothing was kept.
WITH steps AS (
    SELECT
        training_steps.*,
        (training_steps.step - 1) * $most // greatest(trainings.steps, $most) AS group_number
    FROM rounds
    INNER JOIN trainings ON rounds.model = trainings.model
    INNER JOIN training_steps ON rounds.model = training_steps.model
    WHERE rounds.run = $run AND rounds.round = $round
)

SELECT
    min(step) AS first_step,
    max(step) AS last_step,
    sum(loss * kept_tokens) / nullif(sum(kept_tokens), 0) AS loss,
    arg_max(learning_rate, step) AS learning_rate,
    sum(kept_tokens)::BIGINT AS kept_tokens,
    sum(tokens)::BIGINT AS tokens,
    max(gradient_norm) AS largest_gradient_norm,
    sum(tokens) / nullif(sum(seconds), 0) AS tokens_per_second
FROM steps
GROUP BY group_number
ORDER BY first_step;
