"""Train a model of the workspace: read the selection, keep checkpoints, publish the artifact.

models/<id>/model-<sha16>/      safetensors, tokenizer, MANIFEST.json: a model like any other
           /adapter-<sha16>/    the adapter by itself, if one was trained
           /steps/…             loss, learning rate and tokens of every step
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

import pyarrow as pa

from tokensieve.artifact import Artifact, Receipt, abort_point, load_artifact
from tokensieve.corpus import Float32s, Shard, read_shard, score_column
from tokensieve.documents import canonical_json
from tokensieve.settings import TrainingSettings
from tokensieve.timings import Timing
from tokensieve.training.checkpoints import Checkpoints
from tokensieve.training.data import TrainingData
from tokensieve.training.loop import Observer, train
from tokensieve.training.ranks import ALONE, Ranks, shard_over_ranks
from tokensieve.training.saving import save_trained
from tokensieve.training.state import StepRecord, TrainingState
from tokensieve.training.trainee import load_trainee

STEPS_SCHEMA = pa.schema(
    [
        pa.field("step", pa.int32(), nullable=False),
        pa.field("loss", pa.float64()),
        pa.field("learning_rate", pa.float64(), nullable=False),
        pa.field("kept_tokens", pa.int64(), nullable=False),
        pa.field("tokens", pa.int64(), nullable=False),
        pa.field("gradient_norm", pa.float64()),
    ]
)
OnStep = Callable[[int, str], None]
"""Is told the tokens of a step, and how it went; first those of the steps before a checkpoint."""


@dataclass(frozen=True)
class Place:
    """Where one process of a training computes."""

    num_gpus: float
    ranks: Ranks = ALONE
    fsdp: bool = False
    """Whether the ranks share out the weights."""


def train_artifact(
    model: Artifact, init: str, settings: TrainingSettings, place: Place, on_step: OnStep
) -> Receipt | None:
    """Train the declared model from its last checkpoint on, publish it and return its receipt.

    All ranks call this; only the first publishes, and the others return None. A model that is
    there is not trained again.
    """
    finished = model.receipt(0)
    if finished is not None:
        return finished
    data = read_training_data(model)
    trainee = load_trainee(init, settings, 0 if place.fsdp else place.num_gpus)
    if place.fsdp:
        shard_over_ranks(trainee)
    checkpoints = Checkpoints(model)
    state = _state(checkpoints, place.ranks)
    done = state.records if state else []
    if done:
        on_step(sum(record.tokens for record in done), f"going on after step {len(done)}")
    watch = _Watch(checkpoints, settings, on_step, len(done))
    records = train(trainee, data, settings, place.ranks, state, watch)
    with model.storage.scratch() as scratch:
        save_trained(trainee, init, scratch, settings, place.ranks)
        if place.ranks.rank != 0:
            return None
        receipt = _publish(model, data, records, scratch)
    watch.timing(records).publish(model)
    checkpoints.clear()
    return receipt


def _state(checkpoints: Checkpoints, ranks: Ranks) -> TrainingState | None:
    """Return what to go on from: the same for all ranks, because the first chooses it."""
    while True:
        name, *_ = ranks.everybodys(checkpoints.newest() if ranks.rank == 0 else None)
        if name is None:
            return None
        state = checkpoints.read(name)
        if all(ranks.everybodys(state is not None)):
            return state


def read_training_data(model: Artifact) -> TrainingData:
    """Return the corpus of the declared model with the weights of its selection."""
    corpus = load_artifact(model.storage, "corpora", model.plan["corpus"])
    selection = load_artifact(model.storage, "selections", model.plan["selection"])
    keep_empty = selection.plan["keep_empty"]
    return TrainingData.joined(_weighted_shards(corpus, selection), keep_empty)


def _weighted_shards(corpus: Artifact, selection: Artifact) -> Iterator[tuple[Shard, Float32s]]:
    samples, weights = corpus.required_commit(), selection.required_commit()
    for number, receipt in enumerate(weights.receipts):
        shard = read_shard(corpus, samples, number)
        table = selection.read_table(receipt, "shards", columns=["sample_id", "weight"])
        yield shard, score_column(table, "weight", shard)


class _Watch(Observer):
    """Tells of each step, and has the state kept every few minutes."""

    def __init__(
        self, checkpoints: Checkpoints, settings: TrainingSettings, on_step: OnStep, done: int
    ) -> None:
        self._checkpoints, self._on_step, self._done = checkpoints, on_step, done
        self._seconds_between = settings.checkpoint_minutes * 60
        self._kept = self._last = self._began = time.monotonic()
        self._step_seconds: list[float] = []

    def step_done(self, record: StepRecord) -> None:
        now = time.monotonic()
        self._step_seconds.append(round(now - self._last, 4))
        self._last = now
        loss = "skipped" if record.loss is None else f"loss {record.loss:.3f} nats"
        note = f"step {record.step}  {loss}  rate {record.learning_rate:.1e}"
        self._on_step(record.tokens, f"{note}  {record.kept_tokens:,} kept")

    def wants_state(self) -> bool:
        return time.monotonic() - self._kept >= self._seconds_between

    def keep_state(self, state: TrainingState) -> None:
        self._checkpoints.keep(state)
        self._kept = time.monotonic()

    def timing(self, records: list[StepRecord]) -> Timing:
        """Return what this process did of the training."""
        return Timing(
            seconds=round(time.monotonic() - self._began, 3),
            tokens=sum(record.tokens for record in records[self._done :]),
            first_step=self._done + 1,
            step_seconds=self._step_seconds,
        )


def _publish(
    model: Artifact, data: TrainingData, records: list[StepRecord], scratch: Path
) -> Receipt:
    counts = {
        "samples": data.num_samples,
        "trained_samples": int((data.num_kept_N > 0).sum()),
        "kept_tokens": int(data.num_kept_N.sum()),
        "steps": len(records),
        "skipped_steps": sum(record.loss is None for record in records),
        "tokens": sum(record.tokens for record in records),
    }
    manifest = {
        **model.plan,
        "model": model.id,
        "counts": counts,
        "last_loss": next((r.loss for r in reversed(records) if r.loss is not None), None),
        "versions": {name: version(name) for name in ("torch", "transformers", "peft")},
    }
    (scratch / "model" / "MANIFEST.json").write_bytes(canonical_json(manifest))
    steps = pa.Table.from_pylist([asdict(record) for record in records], schema=STEPS_SCHEMA)
    abort_point("before_model", 0)
    folders = {path.name: path for path in scratch.iterdir() if path.is_dir()}
    return model.publish(0, {"steps": steps}, counts, folders)
