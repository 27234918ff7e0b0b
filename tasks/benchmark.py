"""Plant noise into a drop, and say which methods find it and what their choices are worth."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from prefect import get_run_logger, task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE

from tasks.comparison import WARMED_UP, Comparison
from tasks.pictures import show_picture
from tokensieve.artifact import CODE_VERSION, Artifact, load_artifact
from tokensieve.charts import MethodPoint, benchmark_chart
from tokensieve.chat import load_encoder
from tokensieve.comparison import RANDOM, ArmResult, missing_controls
from tokensieve.corpus import Bools, Float32s, Float64s, Int8s, flat_array, list_array, read_shard
from tokensieve.documents import content_id
from tokensieve.ingest import take_inventory
from tokensieve.methods import METHODS, find_method
from tokensieve.noise.finding import Finding, find_noise
from tokensieve.noise.labels import noise_labels
from tokensieve.noise.planting import KINDS, plant_noise, read_planted, write_planted
from tokensieve.noise.reading import plantable_records, records_by_id
from tokensieve.noise.worth import (
    MethodRow,
    benchmark_markdown,
    benchmark_table,
    method_rows,
)
from tokensieve.planning import ORACLE, CorpusStep, NoisyDrop, noisy_corpus
from tokensieve.runs import Arm, load_run
from tokensieve.settings import BenchmarkSettings
from tokensieve.settings.runs import NOISE
from tokensieve.storage import Storage, open_storage

_LABELS = pa.schema([("sample_id", pa.string()), ("clean", pa.list_(pa.float32()))])


@dataclass(frozen=True)
class Benchmark:
    """What each method found of the noise, and what a model trained on its choice is worth."""

    num_seeds: int
    rows: list[MethodRow]
    notes: list[str]
    """What the figures cannot say."""
    picture: str

    def __str__(self) -> str:
        """Return the benchmark for the terminal."""
        title = f"benchmark over {self.num_seeds} seeds of noise, selection and training"
        parts = [title, benchmark_table(self.rows), *self.notes, f"  picture    {self.picture}"]
        return "\n\n".join(parts)

    def markdown(self) -> str:
        """Return the benchmark for the Prefect UI."""
        return "\n\n".join([benchmark_markdown(self.rows), *self.notes])


@task(name="plant-drop", task_run_name="plant-drop", cache_policy=NO_CACHE)
def plant_drop(settings: BenchmarkSettings, seed: int) -> NoisyDrop:
    """Return a copy of the drop with noise at known places; what was planted is found again."""
    storage = _storage(settings)
    inventory = take_inventory(settings.files, settings.corpus.split, settings.s3)
    decisive = {"seed": seed, "rate": settings.noise_rate, "kinds": list(KINDS)}
    decisive |= {"code": CODE_VERSION, "inputs": [file.sha256 for file in inventory.files]}
    noisy = NoisyDrop(content_id(decisive))
    if storage.exists(noisy.drop):
        return noisy
    records, num_others = plantable_records(inventory)
    if num_others:
        get_run_logger().warning("%d rows are no conversation, and left out", num_others)
    planted_into, planted = plant_noise(records, settings.noise_rate, seed)
    with storage.scratch() as scratch:
        write_planted(scratch / "where.jsonl", planted)
        lines = (json.dumps(record, ensure_ascii=False) + "\n" for record in planted_into)
        (scratch / "drop.jsonl").write_text("".join(lines), encoding="utf-8")
        storage.create_from(noisy.where, scratch / "where.jsonl")
        storage.create_from(noisy.drop, scratch / "drop.jsonl")
    return noisy


@task(name="plan", task_run_name="plan", cache_policy=NO_CACHE)
def plan_noisy(settings: BenchmarkSettings, noisy: NoisyDrop) -> CorpusStep:
    """Return how the noisy drop becomes the corpus that all arms share."""
    step = noisy_corpus(settings, noisy)
    step.artifact.declare()
    return step


@task(name="mark-noise", task_run_name="mark-noise", cache_policy=NO_CACHE)
def mark_noise(settings: BenchmarkSettings, noisy: NoisyDrop, corpus: CorpusStep) -> str:
    """Return the key of the oracle's number of each token: 1 clean, and minus its kind if noise.

    Kinds are numbered from 1, in the order of KINDS.
    """
    storage, commit = corpus.artifact.storage, corpus.artifact.required_commit()
    key = noisy.marks(corpus.artifact.id)
    if storage.exists(key):
        return key
    lines = storage.local(noisy.drop).read_text(encoding="utf-8").splitlines()
    records = records_by_id(json.loads(line) for line in lines)
    planted = read_planted(storage.local(noisy.where))
    max_length = corpus.artifact.plan["max_length"]
    encoder = load_encoder(corpus.base.path, settings.corpus.template, max_length)
    with storage.scratch() as scratch:
        with pq.ParquetWriter(scratch / "marks", _LABELS) as writer:
            for number in range(corpus.artifact.num_shards):
                shard = read_shard(corpus.artifact, commit, number)
                spans = (encoder.token_spans(records[id]) for id in shard.sample_ids)
                labels = [
                    noise_labels(planted.get(id), each)
                    for id, each in zip(shard.sample_ids, spans, strict=True)
                ]
                label_T = np.concatenate([np.zeros(0, np.int8), *labels])
                mark_T = np.where(label_T == 0, 1, -label_T).astype(np.float32)
                columns = [pa.array(shard.sample_ids), list_array(shard.offsets_N1, mark_T)]
                writer.write_table(pa.Table.from_arrays(columns, schema=_LABELS))
        storage.create_from(key, scratch / "marks")
    return key


@task(name="find-noise", task_run_name="find-noise", cache_policy=NO_CACHE)
def find_planted(
    settings: BenchmarkSettings, comparison: Comparison, marks: str
) -> dict[tuple[str, int], Finding]:
    """Return what each arm with one selection found, by arm and seed."""
    storage = _storage(settings)
    run = load_run(storage, comparison.run)
    assert run is not None, f"{comparison.run}: the flow made it"
    mark_T = flat_array(pq.read_table(storage.local(marks), columns=["clean"])["clean"])[1]
    label_T = np.where(mark_T > 0, 0, -mark_T).astype(np.int8)
    arms = [arm for arm in run.finished_arms(storage) if arm.arm.partition("@")[0] in METHODS]
    return {(_named(arm.arm), arm.seed): _finding(storage, arm, label_T) for arm in arms}


@task(name="summarise-benchmark", task_run_name="summarise-benchmark", cache_policy=NO_CACHE)
def summarise_benchmark(
    settings: BenchmarkSettings,
    compared: Sequence[Comparison],
    found: Sequence[Mapping[tuple[str, int], Finding]],
) -> Benchmark:
    """Return what the methods found and are worth over all seeds, and show it in the Prefect UI."""
    results = [_renamed(result) for each in compared for result in each.results]
    rows = method_rows(results, {k: f for each in found for k, f in each.items()})
    runs = content_id({"runs": [each.run for each in compared]})
    storage, picture = _storage(settings), f"{NOISE}/benchmark-{runs}.png"
    points = [_point(row) for row in rows if "@" not in row.arm]
    title = "Methods against planted noise"
    show_picture("benchmark", title, benchmark_chart(points), storage, picture)
    benchmark = Benchmark(len(settings.seeds), rows, _notes(compared), storage.place(picture))
    create_markdown_artifact(benchmark.markdown(), key="methods")
    return benchmark


def own_random_arms(settings: BenchmarkSettings, comparison: Comparison) -> tuple[str, ...]:
    """Return the random arms that methods with a rate of their own have to be compared with."""
    if RANDOM not in settings.arms:
        return ()
    return tuple(sorted(set(missing_controls(comparison.results).values())))


def _storage(settings: BenchmarkSettings) -> Storage:
    return open_storage(settings.workspace, settings.s3)


def _notes(compared: Sequence[Comparison]) -> list[str]:
    """Return what holds of each seed's comparison, and of the whole too."""
    return [WARMED_UP] if any(WARMED_UP in each.notes for each in compared) else []


def _finding(storage: Storage, arm: Arm, label_T: Int8s) -> Finding:
    """Return what the arm's last selection found, or its training if that is what chose."""
    selection = load_artifact(storage, "selections", arm.selections[-1])
    method = find_method(selection.plan["method"], selection.plan["parameters"])
    score_T, weight_T = _columns(selection, "shards", ("score", "weight"))
    candidate_T: Bools = ~np.isnan(score_T)
    if method.each_step:
        model = load_artifact(storage, "models", arm.models[-1])
        [weight_T] = _columns(model, "decisions", ("weight",))
        score_T = weight_T
    preference_T: Float64s = score_T.astype(np.float64)
    if method.direction == "low":
        preference_T = -preference_T
    return find_noise(label_T, candidate_T, preference_T, np.nan_to_num(weight_T))


def _columns(artifact: Artifact, part: str, names: tuple[str, ...]) -> list[Float32s]:
    """Return list columns of all shards of an artifact, as arrays over T."""
    receipts = artifact.required_commit().receipts
    tables = [artifact.read_table(receipt, part, columns=list(names)) for receipt in receipts]
    return [np.concatenate([flat_array(table[name])[1] for table in tables]) for name in names]


def _named(arm: str) -> str:
    return ORACLE if arm == "external" else arm


def _renamed(result: ArmResult) -> ArmResult:
    return replace(result, arm=_named(result.arm))


def _point(row: MethodRow) -> MethodPoint:
    versus = row.versus_random
    if versus is None:
        return MethodPoint(row.arm, row.auroc, row.mean_auroc, None, None)
    interval = None if versus.low is None or versus.high is None else (versus.low, versus.high)
    return MethodPoint(row.arm, row.auroc, row.mean_auroc, versus.mean, interval)
