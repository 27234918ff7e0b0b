"""Score a corpus with one model, on the Ray cluster."""

from prefect import get_run_logger, task
from prefect.cache_policies import NO_CACHE

from ray_cluster.cluster import connect
from ray_cluster.model_worker import ModelWorker
from ray_cluster.scoring_job import ScoringJob
from tasks.progress import step_progress
from tokensieve.artifact import Commit, Receipt
from tokensieve.planning import ScoringStep
from tokensieve.scoring import check_finite
from tokensieve.timings import timed

_REMARKABLE = {
    "non_finite_tokens": "tokens have no finite score and take no part in a selection",
    "oom_splits": "batches did not fit into memory and were halved; lower scoring.batch_tokens",
}
"""Counts that a user should hear of."""


@task(name="score-corpus", task_run_name="score-{step.role}", cache_policy=NO_CACHE)
def score_corpus(step: ScoringStep) -> Commit:
    """Return the commit of the role's scores. Finished shards are kept, so a re-run resumes.

    Raises InputError if too many scores are not finite.
    """
    scores, log = step.artifact, get_run_logger()
    scores.declare()
    commit = scores.committed()
    if commit is None:
        with timed(scores):
            _score_shards(step)
            commit = scores.commit()
    else:
        log.info("scores %s of the %s: done before", scores.id, step.role)
    for count, meaning in _REMARKABLE.items():
        if commit.totals[count]:
            log.warning("%s: %d %s", step.role, commit.totals[count], meaning)
    _check(step, commit.totals["non_finite_tokens"], commit.totals["response_tokens"])
    return commit


def _score_shards(step: ScoringStep) -> None:
    """Score the shards that are not there yet."""
    scores, corpus = step.artifact, step.corpus.required_commit()
    finished = scores.done_shards()
    jobs = [
        ScoringJob(
            storage=scores.storage,
            corpus=step.corpus.id,
            scores=scores.id,
            model=step.model,
            settings=step.settings,
            columns=step.columns,
            shard=shard,
        )
        for shard in range(scores.num_shards)
        if shard not in finished
    ]
    sizes = [receipt.counts["tokens"] for receipt in corpus.receipts]
    done = sum(sizes[shard] for shard in finished)
    num_wrong = 0

    def look_at(receipt: Receipt) -> None:
        nonlocal num_wrong
        num_wrong += receipt.counts["non_finite_tokens"]
        _check(step, num_wrong, corpus.totals["response_tokens"])

    place = " on planted noise" if "planted" in step.corpus.plan else ""
    with step_progress(f"score {step.role}{place}", sum(sizes), done) as bar:
        if jobs:
            cluster = connect(step.cluster)
            pool = cluster.pool(ModelWorker, cluster.gpus_per_worker)
            pool.run(jobs, look_at, bar.advance_to)


def _check(step: ScoringStep, num_wrong: int, num_response: int) -> None:
    check_finite(str(step.model.place), num_wrong, num_response, step.settings.max_non_finite)
