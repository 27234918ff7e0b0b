"""Score a corpus with one model, on the Ray cluster."""

from prefect import get_run_logger, task
from prefect.cache_policies import NO_CACHE

from ray_cluster.cluster import connect
from ray_cluster.scoring_worker import ScoringJob, ScoringWorker
from tasks.progress import step_progress
from tokensieve.artifact import Commit
from tokensieve.planning import CleanPlan

_REMARKABLE = {
    "non_finite_tokens": "tokens have no finite score and take no part in a selection",
    "oom_splits": "batches did not fit into memory and were halved; lower scoring.batch_tokens",
}
"""Counts that a user should hear of."""


@task(name="score-corpus", task_run_name="score-{role}", cache_policy=NO_CACHE)
def score_corpus(plan: CleanPlan, role: str) -> Commit:
    """Return the commit of the role's scores. Finished shards are kept, so a re-run resumes."""
    scores, model = plan.scores[role], plan.models[role]
    commit = scores.committed()
    if commit is not None:
        get_run_logger().info("scores %s of the %s: done before", scores.id, role)
        return commit
    corpus = plan.corpus.committed()
    assert corpus is not None, "the flow makes the corpus first"
    finished = scores.done_shards()
    jobs = [
        ScoringJob(plan.storage, plan.corpus.id, scores.id, model, plan.settings.scoring, shard)
        for shard in range(scores.num_shards)
        if shard not in finished
    ]
    sizes = [receipt.counts["tokens"] for receipt in corpus.receipts]
    done = sum(sizes[shard] for shard in finished)
    with step_progress(f"score {role}", sum(sizes), done) as bar:
        if jobs:
            cluster = connect(plan.settings.cluster)
            pool = cluster.pool(ScoringWorker, cluster.gpus_per_worker)
            pool.run(jobs, lambda receipt: None, bar.advance_to)
    commit = scores.commit()
    for count, meaning in _REMARKABLE.items():
        if commit.totals[count]:
            get_run_logger().warning("%s: %d %s", role, commit.totals[count], meaning)
    return commit
