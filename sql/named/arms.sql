-- How the arms of a comparison did: means over their seeds, the lowest held-out loss first.
-- In: $run = last compared. Losses in nats per token; spread: their standard deviation over the
-- seeds. `tokensieve history` shows each seed, the comparison's own summary intervals and verdict.
SELECT
    arm,
    count(*) AS num_seeds,
    avg(loss) AS mean_loss,
    stddev_samp(loss) AS loss_spread,
    avg(exact_match) AS mean_exact_match,
    avg(kept_share) AS mean_kept_share,
    avg(forward_passes) AS mean_forward_passes,
    sum(seconds) AS seconds
FROM arms
WHERE run = $run
GROUP BY arm
ORDER BY mean_loss, arm;
