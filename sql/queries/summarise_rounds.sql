-- One row for each round of a run. In: $run. Influence and losses in nats; influence is positive
-- where the reference improved. NULL: not measured, or there is no such thing in the round.
WITH costs AS (
    SELECT
        round,
        sum(seconds) AS seconds,
        sum(seconds) FILTER (WHERE step LIKE 'scores.%') AS scoring_seconds,
        sum(seconds) FILTER (WHERE step = 'selection') AS selecting_seconds,
        sum(seconds) FILTER (WHERE step = 'model') AS training_seconds,
        sum(tokens) FILTER (WHERE step LIKE 'scores.%')::BIGINT AS scored_tokens
    FROM step_costs
    WHERE run = $run
    GROUP BY round
),

losses AS (
    SELECT
        model,
        arg_min(loss, step) AS first_loss,
        arg_max(loss, step) AS last_loss
    FROM training_steps
    GROUP BY model
)

SELECT
    rounds.round,
    rounds.model,
    stats.response_tokens,
    stats.candidate_tokens,
    stats.kept_tokens,
    stats.kept_share,
    stats.positive_share,
    stats.mean_influence,
    stats.influence_p05,
    stats.influence_p25,
    stats.influence_p50,
    stats.influence_p75,
    stats.influence_p95,
    overlap_stats.overlap,
    rounds.loss_before,
    rounds.loss_after,
    rounds.promoted,
    rounds.reason,
    losses.first_loss,
    losses.last_loss,
    trainings.steps,
    trainings.skipped_steps,
    costs.seconds,
    costs.scoring_seconds,
    costs.selecting_seconds,
    costs.training_seconds,
    costs.scored_tokens,
    trainings.tokens AS trained_tokens,
    trainings.scored_tokens AS scored_in_training
FROM rounds
INNER JOIN round_stats AS stats ON rounds.run = stats.run AND rounds.round = stats.round
LEFT JOIN overlap_stats
    ON
        rounds.run = overlap_stats.run
        AND rounds.round = overlap_stats.round
        AND overlap_stats.source IS NULL
LEFT JOIN costs ON rounds.round = costs.round
LEFT JOIN trainings ON rounds.model = trainings.model
LEFT JOIN losses ON rounds.model = losses.model
WHERE rounds.run = $run
ORDER BY rounds.round;
