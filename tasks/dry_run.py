"""What a run would cost: tokenise a sample of the input, measure the base model on it, and stop."""

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil
from transformers.utils import logging as transformers_logging

from ray_cluster.cluster import connect, uses_gpu
from tokensieve.addresses import is_address
from tokensieve.artifact import parquet_bytes
from tokensieve.chat import load_encoder
from tokensieve.corpus import Shard, scores_table
from tokensieve.ingest import RowReader
from tokensieve.ingest.quarantine import quarantine_lines
from tokensieve.ingest.shard import BuiltShard, build_shard
from tokensieve.models import load_model
from tokensieve.planning import CleanPlan, plan_clean
from tokensieve.scoring import score_shard
from tokensieve.selection import Decision, selection_tables
from tokensieve.settings import CleanSettings

SAMPLE_TOKENS = 16_384
"""How many tokens at most are run through the base model to measure its speed."""


@dataclass(frozen=True)
class Measured:
    """What a sample of the input took."""

    seconds_per_token: float
    bytes_per_token: float
    """On disk, over all the artifacts that a run makes."""
    peak_gib: float
    """Memory of one worker."""


def estimate_run(settings: CleanSettings) -> str:
    """Return what the run would cost and the problems found in a sample of its input, as text.

    Nothing is written. Raises SettingsError and InputError as the run itself would.
    """
    plan = plan_clean(settings, uses_gpu(settings.cluster))
    built = _first_shard(plan)
    counts = built.counts
    tokens = round(counts["tokens"] * _scale(plan))
    facts = {
        "input": f"{len(plan.inventory.files)} files, {_size(_input_bytes(plan))}, "
        f"{plan.corpus.artifact.num_shards} shards",
        "sample": f"{counts['rows']:,} rows = {counts['scored']:,} samples + "
        f"{counts.get('quarantined', 0):,} quarantined + {counts.get('skipped', 0):,} skipped",
        "tokens": f"about {tokens:,}; {counts['response_tokens'] / max(1, counts['tokens']):.0%} "
        f"are of responses; {counts.get('truncated_tokens', 0):,} of the sample cut off",
        **_costs(plan, built.shard, tokens),
    }
    problems = [*plan.inventory.warnings, *plan.unused, *quarantine_lines([built.rejected])]
    lines = [f"  {name:<11}{text}" for name, text in facts.items()]
    lines += ["  problems   none in the sample"] if not problems else ["", *problems]
    return "\n".join([f"dry run of {plan.run.name}: nothing was written", "", *lines])


def _scale(plan: CleanPlan) -> float:
    """Return how many times the first shard the whole input is, by bytes."""
    sizes = [sum(piece.num_bytes for piece in shard) for shard in plan.inventory.shards]
    return sum(sizes) / max(1, sizes[0])


def _first_shard(plan: CleanPlan) -> BuiltShard:
    settings, inventory = plan.settings, plan.inventory
    max_length = plan.corpus.artifact.plan["max_length"]
    encoder = load_encoder(plan.corpus.base.path, settings.corpus.template, max_length)
    with RowReader(inventory.files) as reader:
        return build_shard(reader, inventory.shards[0], encoder)


def _costs(plan: CleanPlan, shard: Shard, tokens: int) -> dict[str, str]:
    """Return time, memory and disk as sentences."""
    if not plan.models:
        return {"time": "seconds: the method needs no model"}
    cluster = connect(plan.settings.cluster)
    measured = _measured(plan, shard, cluster.gpus_per_worker)
    todo = [step.role for step in plan.evidence.scorings if step.artifact.committed() is None]
    return {
        "speed": f"{1 / measured.seconds_per_token:,.0f} tokens/s with the base model, one worker",
        "time": _time(tokens, todo, measured.seconds_per_token, cluster.num_workers),
        "memory": f"about {measured.peak_gib:.1f} GiB a worker",
        "disk": f"about {_size(tokens * measured.bytes_per_token)}{_room(str(plan.storage))}",
    }


def _time(tokens: int, todo: list[str], seconds_per_token: float, num_workers: int) -> str:
    if not todo:
        return "seconds: these models have scored this corpus before"
    seconds = tokens * seconds_per_token * len(todo) / num_workers
    return (
        f"about {_duration(seconds)} to score {tokens:,} tokens with {' and '.join(todo)} "
        f"on {num_workers} workers"
    )


def _measured(plan: CleanPlan, shard: Shard, num_gpus: float) -> Measured:
    """Return what the first samples of the shard take, after one pass to warm up."""
    model = plan.models["base"]
    part = _head(shard, SAMPLE_TOKENS)
    transformers_logging.disable_progress_bar()
    loaded = load_model(model.path, model.dtype, num_gpus)
    scoring, names = plan.settings.scoring, plan.evidence.scorings[0].columns
    score_shard(loaded, _head(shard, 512), scoring, names, lambda tokens: None)
    began = time.perf_counter()
    columns, _ = score_shard(loaded, part, scoring, names, lambda tokens: None)
    seconds = time.perf_counter() - began
    num_tokens = max(1, len(part.input_ids_T))
    score_T = columns["nll"].astype(np.float64)
    weight_T = (~np.isnan(columns["nll"])).astype(np.float32)
    selection, _ = selection_tables(part, Decision(score_T, weight_T), keep_empty=True)
    scores = [scores_table(part, columns)] * len(plan.models)
    tables = [part.to_table(), *scores, *selection.values()]
    return Measured(
        seconds_per_token=seconds / num_tokens,
        bytes_per_token=sum(len(parquet_bytes(table)) for table in tables) / num_tokens,
        peak_gib=psutil.Process().memory_info().rss / 2**30,
    )


def _head(shard: Shard, num_tokens: int) -> Shard:
    """Return the first samples that have so many tokens together; at least one."""
    num_samples = int(np.searchsorted(shard.offsets_N1, num_tokens, side="right")) - 1
    return Shard.from_table(shard.to_table().slice(0, max(1, num_samples)))


def _room(workspace: str) -> str:
    """Return how much room the workspace has, as the end of a sentence; a store has no limit."""
    if is_address(workspace):
        return f" in {workspace}"
    root = Path(workspace)
    nearest = next(path for path in (root, *root.parents) if path.exists())
    return f"; {_size(psutil.disk_usage(str(nearest)).free)} are free"


def _input_bytes(plan: CleanPlan) -> int:
    return sum(file.num_bytes for file in plan.inventory.files)


def _size(num_bytes: float) -> str:
    units = ("B", "kB", "MB", "GB", "TB")
    power = min(len(units) - 1, int(np.log10(max(1.0, num_bytes)) // 3))
    return f"{num_bytes / 1000**power:,.1f} {units[power]}"


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
