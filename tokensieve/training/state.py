"""What a training can be taken up from after a crash: a safetensors file, never a pickle."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from tokensieve.errors import ConflictError, DamagedError
from tokensieve.training.disk import room_for


@dataclass(frozen=True)
class StepRecord:
    """What happened in one optimizer step."""

    step: int
    """From 1."""
    loss: float | None
    """In nats, with signed weights perhaps below 0. None: no token was kept; skipped."""
    learning_rate: float
    kept_tokens: int
    """Tokens with a weight above 0."""
    tokens: int
    """Tokens that the model read to be trained on them, padding excluded."""
    gradient_norm: float | None
    """Before it was clipped."""
    scored_tokens: int = 0
    """Tokens that the model read to choose among them, padding excluded."""


@dataclass(frozen=True)
class TrainingState:
    """The trained parameters, AdamW's two moments of each, and what happened in the steps so far.

    Nothing else is needed: order, learning rate and dropout of a step follow from its number.
    """

    tensors: Mapping[str, Tensor]
    """`weight/NAME`, `first/NAME` and `second/NAME`, whole and on the CPU; no moments before the
    first update. `decided`, if a method decides at each step: the last weight of each token."""
    records: list[StepRecord]

    @property
    def num_updates(self) -> int:
        """Return how often the optimizer has changed the weights."""
        return sum(record.loss is not None for record in self.records)

    def write(self, path: Path, identity: str) -> None:
        """Write the state to a new file; ResourceError if the disk is full.

        `identity` names the training: everything that decides its numbers.
        """
        records = json.dumps([asdict(record) for record in self.records])
        with room_for(path):
            save_file(dict(self.tensors), path, {"identity": identity, "records": records})

    @classmethod
    def read(cls, path: Path, identity: str) -> "TrainingState":
        """Return the state in `path`, which is kept open: a tensor is read when it is asked for.

        Raises FileNotFoundError if it is not there, DamagedError if it is not whole, ConflictError
        if it is of another training.
        """
        try:
            tensors = _StoredTensors(path)
            metadata = tensors.file.metadata() or {}
            records = [StepRecord(**record) for record in json.loads(metadata["records"])]
        except FileNotFoundError:
            raise
        except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
            raise DamagedError(
                f"{path}: is not a whole state of a training: {error}. Delete it; training goes on "
                "from an earlier one, or from the start."
            ) from None
        if metadata.get("identity") != identity:
            raise ConflictError(
                f"{path}: is the state of another training: model, data or settings are not the "
                "same. Delete it to train from the start."
            )
        return cls(tensors, records)


class _StoredTensors(Mapping[str, Tensor]):
    """The tensors of a safetensors file, none of them held."""

    def __init__(self, path: Path) -> None:
        self.file: Any = safe_open(path, framework="pt")

    def __getitem__(self, name: str) -> Tensor:
        tensor: Tensor = self.file.get_tensor(name)
        return tensor

    def __iter__(self) -> Iterator[str]:
        return iter(self.file.keys())

    def __len__(self) -> int:
        return len(self.file.keys())
