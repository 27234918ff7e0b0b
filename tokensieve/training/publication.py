"""Train a model of the workspace: read the selection, keep checkpoints, publish the artifact.

models/<id>/model-<sha16>/      safetensors, tokenizer, MANIFEST.json: a model like any other
           /adapter-<sha16>/    the adapter by itself, if one was trained
           /steps/…             loss, learning rate and tokens of every step
           /decisions/…         what each token last weighed, if that was decided at each step
"""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pyarrow as pa

from tokensieve.artifact import Artifact, Receipt, abort_point
from tokensieve.corpus import Float32s, list_array
from tokensieve.documents import canonical_json
from tokensieve.settings import TrainingSettings
from tokensieve.timings import Timing
from tokensieve.training.checkpoints import Checkpoints
from tokensieve.training.data import TrainingData
from tokensieve.training.loop import Observer, train
from tokensieve.training.ranks import ALONE, Ranks, shard_over_ranks
from tokensieve.training.reading import read_training_data
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
        pa.field("scored_tokens", pa.int64(), nullable=False),
    ]
)
_CHUNK_SAMPLES = 10_000  # a list of Arrow holds less than 2^31 values
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
        receipt = _publish(model, _Outcome(data, records, watch.decided_T), scratch)
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


class _Watch(Observer):
    """Tells of each step, and has the state kept every few minutes."""

    def __init__(
        self, checkpoints: Checkpoints, settings: TrainingSettings, on_step: OnStep, done: int
    ) -> None:
        self._checkpoints, self._on_step, self._done = checkpoints, on_step, done
        self._seconds_between = settings.checkpoint_minutes * 60
        self._kept = self._last = self._began = time.monotonic()
        self._step_seconds: list[float] = []
        self.decided_T: Float32s | None = None

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

    def weights_decided(self, weight_T: Float32s) -> None:
        self.decided_T = weight_T

    def timing(self, records: list[StepRecord]) -> Timing:
        """Return what this process did of the training."""
        return Timing(
            seconds=round(time.monotonic() - self._began, 3),
            tokens=sum(record.tokens for record in records[self._done :]),
            first_step=self._done + 1,
            step_seconds=self._step_seconds,
        )


@dataclass(frozen=True)
class _Outcome:
    """What came of a training, beside the model."""

    data: TrainingData
    records: list[StepRecord]
    decided_T: Float32s | None
    """What each token last weighed, NaN if it was no candidate. None: nothing was decided."""

    def tables(self) -> dict[str, pa.Table]:
        """Return the tables that are published, by part."""
        rows = [asdict(record) for record in self.records]
        steps = pa.Table.from_pylist(rows, schema=STEPS_SCHEMA)
        if self.decided_T is None:
            return {"steps": steps}
        return {"steps": steps, "decisions": _decisions(self.data, self.decided_T)}

    def counts(self) -> dict[str, int]:
        """Return what was counted; of tokens that were decided on, in the last epoch."""
        data, decided = self.data, {}
        if self.decided_T is not None:
            data = data.weighted(np.nan_to_num(self.decided_T))
            decided = {"candidate_tokens": int(np.count_nonzero(~np.isnan(self.decided_T)))}
        return {
            "samples": data.num_samples,
            "trained_samples": int((data.num_kept_N > 0).sum()),
            "kept_tokens": int(data.num_kept_N.sum()),
            **decided,
            "steps": len(self.records),
            "skipped_steps": sum(record.loss is None for record in self.records),
            "tokens": sum(record.tokens for record in self.records),
            "scored_tokens": sum(record.scored_tokens for record in self.records),
        }


def _decisions(data: TrainingData, decided_T: Float32s) -> pa.Table:
    """Return what each token of each sample weighed; null: it was no candidate."""
    chunks = []
    for first in range(0, data.num_samples, _CHUNK_SAMPLES):
        offsets = data.offsets_N1[first : first + _CHUNK_SAMPLES + 1]
        values = decided_T[offsets[0] : offsets[-1]]
        ids = pa.array(data.sample_ids[first : first + _CHUNK_SAMPLES], pa.string())
        weights = list_array(offsets - offsets[0], values)
        chunks.append(pa.table({"sample_id": ids, "weight": weights}))
    return pa.concat_tables(chunks)


def _publish(model: Artifact, outcome: _Outcome, scratch: Path) -> Receipt:
    counts, records = outcome.counts(), outcome.records
    manifest = {
        **model.plan,
        "model": model.id,
        "counts": counts,
        "last_loss": next((r.loss for r in reversed(records) if r.loss is not None), None),
        "versions": {name: version(name) for name in ("torch", "transformers", "peft")},
    }
    (scratch / "model" / "MANIFEST.json").write_bytes(canonical_json(manifest))
    abort_point("before_model", 0)
    folders = {path.name: path for path in scratch.iterdir() if path.is_dir()}
    return model.publish(0, outcome.tables(), counts, folders)
