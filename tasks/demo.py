"""The demonstration: make its materials, and compare what was removed with what was planted."""

import json
import sys
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from prefect import task
from prefect.cache_policies import NO_CACHE

from tasks.demo_report import DemoReport, Piece
from tasks.evolution import Evolution
from tasks.summary import Summary
from tokensieve.artifact import Artifact
from tokensieve.chat import load_encoder
from tokensieve.corpus import Bools, Float32s, Int8s, Int32s, Int64s, flat_array, read_shard
from tokensieve.models import load_tokenizer
from tokensieve.noise.demo import Demo, make_demo
from tokensieve.noise.labels import corpus_labels
from tokensieve.noise.planting import KINDS, read_planted
from tokensieve.noise.removal import Removal, removal
from tokensieve.runs import Round, load_run
from tokensieve.settings import (
    CleanSettings,
    CorpusSettings,
    EvolveSettings,
    RoundsSettings,
    SelectionSettings,
    TrainingSettings,
)
from tokensieve.storage import LocalStorage, Storage

_MAX_LENGTH = 10_000  # longer than any sample of the demonstration
SHOWN_TOKENS = range(40, 90)
"""A sample of such a length fits a terminal and shows enough."""


@task(name="make-materials", task_run_name="make-materials", cache_policy=NO_CACHE)
def make_materials(workspace: Path) -> Demo:
    """Return the demonstration's corpus and models: made once, in about a minute."""
    if not (workspace / "materials").exists():
        print("making a noisy corpus and training two tiny models: a minute", file=sys.stderr)
    return make_demo(workspace / "materials")


def demo_settings(materials: Demo, workspace: Path, method: str) -> CleanSettings:
    """Return the settings with which the demonstration cleans its corpus by `method`."""
    return CleanSettings(
        files=(str(materials.corpus),),
        base=str(materials.base),
        reference=str(materials.reference),
        workspace=str(workspace),
        corpus=CorpusSettings(template="model"),
        selection=SelectionSettings(method=method),
    )


def evolution_settings(materials: Demo, workspace: Path) -> EvolveSettings:
    """Return the settings with which the reference evolves on the demonstration's corpus."""
    return EvolveSettings(
        files=(str(materials.corpus),),
        holdout=(str(materials.holdout),),
        base=str(materials.base),
        workspace=str(workspace),
        corpus=CorpusSettings(template="model"),
        selection=SelectionSettings(keep=0.6),
        rounds=RoundsSettings(rounds=2),
        training=TrainingSettings(tuning="full", learning_rate=1e-3, step_samples=24),
    )


@task(name="report-demo", task_run_name="report-demo", cache_policy=NO_CACHE)
def report_demo(
    materials: Demo, workspace: Path, summaries: dict[str, Summary], evolution: Evolution
) -> DemoReport:
    """Return what each method kept and removed, and one sample with its dropped tokens."""
    storage = LocalStorage(workspace)
    seen = {method: _seen(storage, summary.run) for method, summary in summaries.items()}
    label_T = _labels(materials)
    method = next(iter(seen))
    shown = _shown_sample(seen[method], label_T)
    removals = {name: removal(label_T, s.response_T, s.weight_T) for name, s in seen.items()}
    return DemoReport(
        summary=summaries[method],
        removals=removals | {"self-evolving": _removal_of_rounds(storage, evolution, label_T)},
        evolution=evolution,
        num_noise=int(np.count_nonzero(label_T[seen[method].response_T])),
        sample_id=seen[method].sample_ids[shown],
        sample=_pieces(materials, seen[method], label_T, shown),
        workspace=str(workspace),
    )


@dataclass(frozen=True)
class _Seen:
    """A selection over the whole corpus; small enough here to be held."""

    sample_ids: list[str]
    offsets_N1: Int64s
    input_ids_T: Int32s
    response_T: Bools
    weight_T: Float32s


def _seen(storage: Storage, run: str) -> _Seen:
    found = load_run(storage, run)
    assert found is not None, f"{run}: the flow made it"
    return _selected(storage, found.planned_rounds(storage)[0])


def _selected(storage: Storage, round: Round) -> _Seen:
    made = round.artifacts(storage)
    corpus = made["corpus"].required_commit()
    shards = [read_shard(made["corpus"], corpus, n) for n in range(made["corpus"].num_shards)]
    return _Seen(
        sample_ids=[id for shard in shards for id in shard.sample_ids],
        offsets_N1=np.cumsum(np.concatenate([[0], *(shard.lengths_N for shard in shards)])),
        input_ids_T=np.concatenate([shard.input_ids_T for shard in shards]),
        response_T=np.concatenate([shard.response_T for shard in shards]),
        weight_T=_weights(made["selection"]),
    )


def _removal_of_rounds(storage: Storage, evolution: Evolution, label_T: Int8s) -> Removal:
    """Return what the rounds after the warm-up removed: they select in the last parts in order."""
    run = load_run(storage, evolution.run)
    assert run is not None, f"{evolution.run}: the flow made it"
    rounds = [_selected(storage, round) for round in run.planned_rounds(storage)]
    response_T = np.concatenate([each.response_T for each in rounds])
    weight_T = np.concatenate([each.weight_T for each in rounds])
    warmup = slice(len(rounds[0].response_T), len(response_T))
    return removal(label_T[warmup], response_T[warmup], weight_T[warmup])


def _weights(selection: Artifact) -> Float32s:
    receipts = (selection.required_receipt(shard) for shard in range(selection.num_shards))
    tables = (selection.read_table(receipt, "shards") for receipt in receipts)
    return np.concatenate([flat_array(table["weight"])[1] for table in tables])


def _labels(materials: Demo) -> Int8s:
    """Return which noise each token of the corpus is, in the order of the corpus."""
    records = [json.loads(line) for line in materials.corpus.read_text("utf-8").splitlines()]
    encoder = load_encoder(str(materials.base), "model", _MAX_LENGTH)
    return corpus_labels(records, read_planted(materials.planted), encoder)


def _shown_sample(seen: _Seen, label_T: Int8s) -> int:
    """Return the first sample that has noise and the right length."""
    return next(
        sample
        for sample, (start, end) in enumerate(pairwise(seen.offsets_N1.tolist()))
        if end - start in SHOWN_TOKENS and label_T[start:end].any()
    )


def _pieces(materials: Demo, seen: _Seen, label_T: Int8s, sample: int) -> list[Piece]:
    """Return the sample's tokens."""
    tokenizer = load_tokenizer(str(materials.base))
    return [
        Piece(
            text=tokenizer.decode([seen.input_ids_T[t]]),
            is_response=bool(seen.response_T[t]),
            is_kept=bool(seen.weight_T[t]),
            noise=KINDS[label_T[t] - 1] if label_T[t] else "",
        )
        for t in range(seen.offsets_N1[sample], seen.offsets_N1[sample + 1])
    ]
