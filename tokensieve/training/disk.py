"""Writing tensors: a disk that is full is told as such."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError

from tokensieve.errors import ResourceError


@contextmanager
def room_for(path: Path) -> Iterator[None]:
    """Raise ResourceError if the block cannot write `path`: safetensors has an error of its own."""
    try:
        yield
    except (SafetensorError, OSError) as error:
        raise ResourceError(
            f"{path}: could not be written: {error}. Free some space or check the disk, then run "
            "the same command again; checkpoints are kept."
        ) from error
