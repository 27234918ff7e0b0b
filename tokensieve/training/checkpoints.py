"""Where a training was, for the next process that takes it up.

    models/<id>/checkpoints/000120-<sha16>.safetensors    the state after step 120

A name holds the hash of its content, so a checkpoint that was cut off or altered is known for one.
They are no part of the artifact: they go when the model is published.
"""

import re
import sys
from pathlib import Path

from tokensieve.artifact import Artifact, abort_point
from tokensieve.storage import file_sha256
from tokensieve.training.state import TrainingState

_NAME = re.compile(r"\d{6,}-[0-9a-f]{16}\.safetensors")
_NUM_KEPT = 2
"""The last one, and the one before it should the last be damaged."""


class Checkpoints:
    """The checkpoints of one model that is being trained."""

    def __init__(self, model: Artifact) -> None:
        """Look at nothing yet."""
        self._model = model
        self._place = f"{model.key}/checkpoints"

    def newest(self) -> str | None:
        """Return the name of the latest whole state, or None; a damaged one is named on stderr."""
        damaged: set[str] = set()
        while names := [name for name in self._names() if name not in damaged]:
            path = self._path(names[-1])
            try:
                if file_sha256(path)[:16] == path.stem.split("-")[1]:
                    return names[-1]
            except FileNotFoundError:
                continue  # another run of this training has newer ones, or is done
            damaged.add(names[-1])
            print(
                f"{path}: its content changed after it was written. Going on from the one before "
                "it.",
                file=sys.stderr,
            )
        return None

    def read(self, name: str) -> TrainingState | None:
        """Return the state of this name, or None if another run has just removed it.

        Raises ConflictError if it belongs to another training.
        """
        try:
            return TrainingState.read(self._path(name), self._model.id)
        except FileNotFoundError:
            return None

    def keep(self, state: TrainingState) -> None:
        """Publish the state; those that are older than the one before it go."""
        storage, step = self._model.storage, len(state.records)
        with storage.scratch() as scratch:
            ready = scratch / "state.safetensors"
            state.write(ready, self._model.id)
            name = f"{step:06d}-{file_sha256(ready)[:16]}.safetensors"
            abort_point("before_checkpoint", step)
            storage.replace(f"{self._place}/{name}", ready)  # what stands there may be damaged
        abort_point("after_checkpoint", step)
        for old in self._names()[:-_NUM_KEPT]:
            storage.remove(f"{self._place}/{old}")

    def clear(self) -> None:
        """Remove them all: the model is published."""
        for name in self._names():
            self._model.storage.remove(f"{self._place}/{name}")

    def _path(self, name: str) -> Path:
        return self._model.storage.local(f"{self._place}/{name}")

    def _names(self) -> list[str]:
        """Return the names in the order of their steps."""
        names = self._model.storage.names(self._place)
        return sorted(filter(_NAME.fullmatch, names), key=lambda name: int(name.split("-")[0]))
