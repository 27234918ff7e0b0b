"""Evaluate models on held-out data, on the Ray cluster."""

from collections.abc import Sequence
from typing import Any

from prefect import get_run_logger, task
from prefect.cache_policies import NO_CACHE

from ray_cluster.cluster import connect
from ray_cluster.evaluation_job import EvaluationJob
from ray_cluster.model_worker import ModelWorker
from tasks.progress import step_progress
from tokensieve.artifact import Artifact, Commit, Receipt
from tokensieve.evaluation import exact_match
from tokensieve.planning import EvaluationStep


@task(name="evaluate-models", task_run_name="evaluate-models", cache_policy=NO_CACHE)
def evaluate_models(steps: Sequence[EvaluationStep]) -> None:
    """Evaluate every model once; as many side by side as there are workers."""
    pending = [step for step in steps if step.artifact.committed() is None]
    if len(pending) < len(steps):
        get_run_logger().info("%d models: evaluated before", len(steps) - len(pending))
    if not pending:
        return
    for step in pending:
        step.artifact.declare()
    jobs = [_job(step) for step in pending if not step.artifact.done_shards()]
    with step_progress("evaluate", sum(map(_num_samples, pending)), unit="answers") as bar:
        if jobs:
            cluster = connect(pending[0].cluster)
            pool = cluster.pool(ModelWorker, cluster.gpus_per_worker)
            pool.run(jobs, _nothing, bar.advance_to)
    for step in pending:
        _commit(step.artifact)


def _nothing(receipt: Receipt) -> None:
    """Take a receipt: it is read again when the evaluation is committed."""


def _job(step: EvaluationStep) -> EvaluationJob:
    storage, id = step.artifact.storage, step.artifact.id
    return EvaluationJob(storage, id, step.corpus.id, step.model, step.settings)


def _num_samples(step: EvaluationStep) -> int:
    return step.corpus.required_commit().totals["scored"]


def _commit(evaluation: Artifact) -> Commit:
    """Return the commit of an evaluation, with its figures as notes."""
    receipt = evaluation.required_receipt(0)
    notes: dict[str, Any] = {}
    if "answers" in receipt.files:
        notes["exact_match"] = exact_match(receipt.counts)
    if "tasks" in receipt.files:
        rows = evaluation.read_table(receipt, "tasks").to_pylist()
        figures = {f"{row['task']}/{row['metric']}": row for row in rows}
        notes["tasks"] = {name: row["value"] for name, row in figures.items()}
        notes["lower_is_better"] = [
            name for name, row in figures.items() if row["higher_is_better"] is False
        ]
    return evaluation.commit(notes)
