"""What a format is: how it is written, and what its trainer has to be told."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from transformers import PreTrainedTokenizerFast

from tokensieve.exports.rows import Rows

UNKNOWN_BASE = "PATH-OF-THE-MODEL-TO-TRAIN"
"""What stands in a recipe that knows of no base."""


@dataclass(frozen=True)
class Base:
    """The model that is going to be trained; its tokenizer made the corpus."""

    address: str
    """Where it lies, as it was given."""
    path: Path
    """A directory of this machine that holds it."""
    tokenizer: PreTrainedTokenizerFast
    companions: str
    """Hash of its tokenizer, chat template and generation settings."""


@dataclass(frozen=True)
class Destination:
    """Where an export comes to lie, and what is known of all its samples."""

    place: Path
    """Its directory, absolute, as recipes for this machine name it."""
    num_shards: int
    max_length: int
    """No sample has more tokens."""
    vocabulary_size: int
    base: Base | None
    hub_name: str | None = None
    """The dataset of the hub that the export is read from; None: its directory."""

    @property
    def model(self) -> str:
        """Return how a recipe names the model; on the hub nobody has a model of this machine."""
        known = self.base is not None and self.hub_name is None
        return self.known_base.address if known else UNKNOWN_BASE

    @property
    def known_base(self) -> Base:
        """Return the base of a format that needs one."""
        assert self.base is not None, "such a format is refused without a base"
        return self.base


Write = Callable[[Iterator[Rows], Path, Destination], Mapping[str, int]]
"""Writes the samples below a directory; returns what it counted of what it wrote, and of what it
could not write. `samples` and `trained_tokens` are among it."""


@dataclass(frozen=True)
class Format:
    """One way of handing samples to a trainer."""

    name: str
    trainers: str
    """Who reads it, with the versions that were looked at."""
    version: int
    """Raised when the same selection would give other bytes."""
    write: Write
    recipe: Callable[[Destination], dict[str, str]]
    """Returns the files that tell the trainer of the export: text by name."""
    signed: bool = False
    """Whether it carries weights; if not, what weighs more than 0 is trained on."""
    table: str | None = None
    """What matches its files, if they are one table that the hub shows."""
    needs_base: bool = False
    """Whether it holds texts, or a tokenizer."""

    def choose(self, rows: Rows) -> Rows:
        """Return the samples that have something to train on."""
        return rows.with_any(rows.weight_T != 0 if self.signed else rows.trained_T)
