"""Train models on selections, on the Ray cluster."""

import sys
from collections.abc import Mapping, Sequence
from typing import Any

from prefect import get_run_logger, task
from prefect.artifacts import create_table_artifact
from prefect.cache_policies import NO_CACHE

from ray_cluster.cluster import connect
from ray_cluster.model_worker import ModelWorker
from ray_cluster.training_job import TrainingJob
from tasks.pictures import show_picture
from tasks.progress import step_progress
from tokensieve.artifact import Artifact, Commit, Receipt, folder_hashes, load_artifact
from tokensieve.charts import StepPoint, loss_curve
from tokensieve.methods import find_method
from tokensieve.methods.method import CURRENT
from tokensieve.models import fingerprint_of_files
from tokensieve.planning import TrainingStep
from tokensieve.timings import step_seconds, timings
from tokensieve.training.checkpoints import Checkpoints

SHOWN_STEPS = 8
"""How many of the optimizer steps the terminal lists; the index has all of them."""


@task(name="train-model", task_run_name="train-model", cache_policy=NO_CACHE)
def train_model(step: TrainingStep) -> Commit:
    """Return the commit of the trained model. A training that was cut off goes on from its last
    checkpoint; a finished one is found again.
    """
    [commit] = _trained([step])
    rows = _step_rows(step.artifact, commit)
    for line in [*_lines(rows), *_samples_lines(commit.totals)]:
        print(line, file=sys.stderr)
    create_table_artifact(_spread(rows, 100), key="steps", description="Optimizer steps")
    points = [
        StepPoint(row["step"], row["loss"], row["learning_rate"], row["kept_tokens"])
        for row in rows
    ]
    picture = f"{step.artifact.key}/loss.png"
    title = f"Loss of model {step.artifact.id}"
    show_picture("loss", title, loss_curve(points), step.artifact.storage, picture)
    return commit


@task(name="train-models", task_run_name="train-models", cache_policy=NO_CACHE)
def train_models(steps: Sequence[TrainingStep]) -> list[Commit]:
    """Return the commits of the trained models; as many train side by side as there are workers."""
    return _trained(steps)


def _trained(steps: Sequence[TrainingStep]) -> list[Commit]:
    pending = [step for step in steps if step.artifact.committed() is None]
    if len(pending) < len(steps):
        get_run_logger().info("%d models: trained before", len(steps) - len(pending))
    for step in pending:
        step.artifact.declare()
    for line in dict.fromkeys(line for step in pending for line in precision_lines(step)):
        get_run_logger().warning(line)
        print(line, file=sys.stderr)
    if pending:
        _train(pending)
    return [_commit(step.artifact) for step in steps]


def precision_lines(step: TrainingStep) -> list[str]:
    """Return a line for each model whose stored losses a method subtracts from those of the model
    in training though they were made in another precision: a part of what is left is rounding.
    """
    plan, precision = step.selection.plan, step.artifact.plan["precision"]
    method = find_method(plan["method"], plan["parameters"])
    if "nll" not in method.columns.get(CURRENT, ()):
        return []
    lines = []
    for role in method.roles:
        if "nll" not in method.columns[role]:
            continue
        dtype = _dtype(step.selection, role)
        if dtype != precision:
            lines.append(
                f"{method.name} compares losses of the model in training, in {precision}, with "
                f"those of the {role}, in {dtype}: differences below 0.2 nats may be rounding. "
                f"Give training.precision = {dtype}, or scoring.dtype = {precision}."
            )
    return lines


def _dtype(selection: Artifact, role: str) -> str:
    """Return the precision in which the scores of a role were made, whole or as a part."""
    scores = load_artifact(selection.storage, "scores", selection.plan["scores"][role])
    if "of" in scores.plan:
        scores = load_artifact(selection.storage, "scores", scores.plan["of"])
    return str(scores.plan["dtype"])


def _train(steps: Sequence[TrainingStep]) -> None:
    """Train the models that have no receipt yet, on one worker each, or one after the other on
    several ranks.
    """
    jobs = [_job(step, alone=len(steps) == 1) for step in steps if not step.artifact.done_shards()]
    title = "train" if len(steps) == 1 else f"train {len(steps)} models"
    with step_progress(title, sum(_num_tokens(step) for step in steps)) as bar:
        if not jobs:
            return
        settings = steps[0].cluster
        cluster = connect(settings)
        if settings.ranks > 1:
            from ray_cluster.rank_training import train_over_ranks  # Ray Train takes a second

            train_over_ranks(jobs, cluster, settings.ranks, settings.fsdp, bar.advance_to)
        else:
            pool = cluster.pool(ModelWorker, cluster.gpus_per_worker)
            pool.run(jobs, _nothing, bar.advance_to)


def _job(step: TrainingStep, alone: bool) -> TrainingJob:
    storage, id = step.artifact.storage, step.artifact.id
    return TrainingJob(storage, id, step.init, step.settings, alone)


def _nothing(receipt: Receipt) -> None:
    """Take a receipt: it is read again when the model is committed."""


def _num_tokens(step: TrainingStep) -> int:
    """Return about how many tokens the training runs through the model."""
    return step.selection.required_commit().totals["tokens"] * step.settings.epochs


def _commit(model: Artifact) -> Commit:
    """Return the model's commit, which says by its fingerprint what it is."""
    commit = model.committed()
    if commit is None:
        receipt = model.stated_receipt(0)  # commit() looks at every file
        assert receipt is not None, f"{model.key}: it was trained"
        fingerprint = fingerprint_of_files(folder_hashes(receipt, "model"))
        commit = model.commit({"fingerprint": fingerprint})
    Checkpoints(model).clear()  # a crash may have come before it
    return commit


def _step_rows(model: Artifact, commit: Commit) -> list[dict[str, Any]]:
    """Return the optimizer steps with their speed, where it is known."""
    rows: list[dict[str, Any]] = model.read_table(commit.receipts[0], "steps").to_pylist()
    for row, spent in zip(rows, step_seconds(timings(model), len(rows)), strict=True):
        row["tokens_per_second"] = round(row["tokens"] / spent) if spent else None
    return rows


def _lines(rows: list[dict[str, Any]]) -> list[str]:
    """Return some of the steps for the terminal, the first and the last among them."""
    lines = [f"  {'step':>7}{'loss/nats':>11}{'rate':>10}{'kept':>10}{'tokens/s':>10}"]
    for row in _spread(rows, SHOWN_STEPS):
        loss = "skipped" if row["loss"] is None else f"{row['loss']:.3f}"
        speed = "-" if row["tokens_per_second"] is None else f"{row['tokens_per_second']:,}"
        lines.append(
            f"  {row['step']:>7,}{loss:>11}{row['learning_rate']:>10.1e}"
            f"{row['kept_tokens']:>10,}{speed:>10}"
        )
    return lines


def _samples_lines(totals: Mapping[str, int]) -> list[str]:
    """Return how many of the samples were trained on, what became of steps without one, and how
    much was kept if that was decided at each step.
    """
    trained, samples = totals["trained_samples"], totals["samples"]
    line = f"  {trained:,} of {samples:,} samples have tokens to train on"
    skipped = totals["skipped_steps"]
    lines = [f"{line}; steps without any, which were skipped: {skipped:,}" if skipped else line]
    if "candidate_tokens" in totals:
        kept, candidates = totals["kept_tokens"], totals["candidate_tokens"]
        share = 100 * kept / max(candidates, 1)
        lines.append(
            f"  chosen at each step, in the last epoch: {kept:,} of {candidates:,} tokens "
            f"({share:.1f} %)"
        )
    return lines


def _spread(rows: list[dict[str, Any]], most: int) -> list[dict[str, Any]]:
    """Return at most so many rows, evenly spread from the first to the last."""
    if len(rows) <= most:
        return rows
    return [rows[round(n * (len(rows) - 1) / (most - 1))] for n in range(most)]
