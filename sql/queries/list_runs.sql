-- Every run of the index, with what its last round found. NULL: it has arms and no round.
SELECT
    runs.run,
    runs.flow,
    count(rounds.round) AS num_rounds,
    max(rounds.round) AS last_round,
    arg_max(stats.samples, rounds.round) AS samples,
    arg_max(stats.response_tokens, rounds.round) AS response_tokens,
    arg_max(stats.kept_share, rounds.round) AS kept_share,
    arg_max(stats.mean_influence, rounds.round) AS mean_influence
FROM runs
LEFT JOIN rounds ON runs.run = rounds.run
LEFT JOIN round_stats AS stats ON rounds.run = stats.run AND rounds.round = stats.round
GROUP BY runs.run, runs.flow
ORDER BY runs.run;
