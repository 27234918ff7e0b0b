"""Is there room on the disk for what a run will write? Asked before the work, not in the middle."""

from collections.abc import Iterable
from pathlib import Path

from tokensieve.artifact import Artifact
from tokensieve.storage import LocalStorage

BYTES_PER_INPUT_BYTE = 5
"""What a cleaning writes for each byte of plain input: 4.3 on GSM8K, and some room."""
INDEX_BYTES = 32 * 2**20
"""What the index takes while it is built, beside what grows with the input."""


def check_room(
    storage: LocalStorage, input_bytes: int, artifacts: Iterable[Artifact], model_bytes: int = 0
) -> None:
    """Raise ResourceError if the disk is too small for the artifacts that are not done yet.

    `model_bytes` is what the models take that are still to be trained.
    """
    made = list(artifacts)
    num_done = sum(len(artifact.done_shards()) for artifact in made)
    undone = 1 - num_done / sum(artifact.num_shards for artifact in made)
    if undone:
        needed = BYTES_PER_INPUT_BYTE * undone * input_bytes + INDEX_BYTES + model_bytes
        storage.check_room(round(needed))


def trained_bytes(init: str) -> int:
    """Return about how many bytes a model takes that was trained from `init`, with a checkpoint.

    Weights are saved in float32, twice the usual bfloat16; a checkpoint of full tuning holds them
    and the optimizer's two moments.
    """
    weights = sum(file.stat().st_size for file in Path(init).glob("*.safetensors"))
    return 8 * weights
