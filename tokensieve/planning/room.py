"""Is there room on the disk for what a run will write? Asked before the work, not in the middle."""

from collections.abc import Iterable
from pathlib import Path

from tokensieve.artifact import Artifact
from tokensieve.models import read_config
from tokensieve.settings import TrainingSettings
from tokensieve.storage import Storage

BYTES_PER_INPUT_BYTE = 5
"""What a cleaning writes for each byte of plain input: 4.3 on GSM8K, and some room."""
INDEX_BYTES = 32 * 2**20
"""What the index takes while it is built, beside what grows with the input."""


def check_room(
    storage: Storage, input_bytes: int, artifacts: Iterable[Artifact], model_bytes: int = 0
) -> None:
    """Raise ResourceError if the disk is too small for the artifacts that are not done yet.

    `model_bytes` is what the models take that are still to be trained.
    """
    made = list(artifacts)
    num_done = sum(len(artifact.done_shards()) for artifact in made)
    undone = 1 - num_done / sum(artifact.num_shards for artifact in made)
    needed = BYTES_PER_INPUT_BYTE * undone * input_bytes + model_bytes
    if needed:
        storage.check_room(round(needed) + INDEX_BYTES)


def training_bytes(init: str, num_models: int, settings: TrainingSettings) -> int:
    """Return about how many bytes are written by training `num_models` models like `init`.

    Weights are saved in float32. Under full tuning a checkpoint holds them and the optimizer's two
    moments, and two checkpoints are kept while a model is trained.
    """
    if num_models <= 0:
        return 0
    weights = sum(file.stat().st_size for file in Path(init).glob("*.safetensors"))
    config = read_config(init)
    is_float32 = "float32" in (config.get("dtype"), config.get("torch_dtype"))
    saved = weights if is_float32 else 2 * weights
    checkpoints = 2 * 3 * saved if settings.tuning == "full" else 0
    return num_models * saved + checkpoints


def num_committed(storage: Storage, kind: str) -> int:
    """Return how many artifacts of a kind the workspace has finished, of whichever run."""
    return sum(storage.exists(f"{kind}/{id}/COMMIT.json") for id in storage.names(kind))
