"""Plans over a real corpus, whose models are never trained: what a plan says needs no training."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

from ray_cluster.ingest_worker import IngestJob, IngestWorker
from tests.drops import write_drop
from tests.tiny_models import build_tiny_model
from tokensieve.artifact import Artifact
from tokensieve.planning import CorpusStep, EvolvePlan, RoundPlan, next_round
from tokensieve.runs import Outcome


def make_inputs(directory: Path) -> SimpleNamespace:
    """Return paths of a base, a reference, a drop of 23 rows, a warm-up and a held-out file."""
    return SimpleNamespace(
        base=str(build_tiny_model(directory / "base", seed=1, hidden=16)),
        reference=str(build_tiny_model(directory / "reference", seed=2, hidden=16)),
        drop=str(write_drop(directory / "drop.jsonl", num_rows=23)),
        warmup=str(write_drop(directory / "warmup.jsonl", num_rows=6, seed=1)),
        holdout=str(write_drop(directory / "holdout.jsonl", num_rows=5, seed=2)),
        directory=directory,
    )


def commit_corpus(step: CorpusStep, skipped: Sequence[int] = ()) -> None:
    """Make the corpus of a step; `skipped`: rows of its first shard that others hold."""
    worker = IngestWorker(
        step.inventory.files, step.base, step.settings.template, step.artifact.plan["max_length"]
    )
    step.artifact.declare()
    for shard, pieces in enumerate(step.inventory.shards):
        worker.run(IngestJob(step.artifact.storage, step.artifact.id, pieces, shard))
    step.artifact.commit({"duplicates": {"0": [*skipped]} if skipped else {}})


def commit_model(model: Artifact, base: str, fingerprint: str) -> None:
    """Finish a model that is the base in truth, and says to be `fingerprint`."""
    model.declare()
    with model.storage.scratch() as scratch:
        shutil.copytree(base, scratch / "model")
        model.publish(0, {}, {"tokens": 1}, {"model": scratch / "model"})
    model.commit({"fingerprint": fingerprint})


def end_round(
    plan: EvolvePlan,
    promoted: bool = True,
    losses: tuple[float, float] | tuple[None, None] = (None, None),
) -> RoundPlan:
    """Finish the next round, whose model has the fingerprint `after round N`; return its plan.

    `losses`: held-out, of the former reference and of the new model.
    """
    planned = next_round(plan)
    assert planned is not None
    planned.declare(plan.run)
    number = planned.round.round
    commit_model(planned.training.artifact, plan.base.model.path, f"after round {number}")
    before, after = losses
    outcome = Outcome(promoted=promoted, reason="because", loss_before=before, loss_after=after)
    plan.run.finish_round(plan.storage, planned.round, outcome)
    return planned
