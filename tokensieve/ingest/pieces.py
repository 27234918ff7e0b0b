"""Files, the pieces they are cut into, and the rows that are read from a piece."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol

from tokensieve.errors import InputError
from tokensieve.ingest.opening import Place
from tokensieve.ingest.records import RowProblem

MAX_ROW_BYTES = 16 << 20
"""A longer row is quarantined, and never held."""
MAX_EVIDENCE_BYTES = 64 << 10
"""What is kept of a quarantined row."""

_MIN_PIECE_BYTES = 128 << 10  # small inputs still give every worker something to do
_MAX_PIECE_BYTES = 4 << 20  # about a million tokens
_SHARDS_OF_SMALL_INPUTS = 16


@dataclass(frozen=True)
class InputFile:
    """One file of a drop."""

    path: Place
    """Where it lies, for every machine of the run."""
    name: str
    """The shortest end of the path that no other file of the drop has; the same everywhere."""
    source: str
    """What its samples are said to come from if they do not say so themselves: the file's name
    without extensions or its dataset's name, with as many folders as tell it from the others."""
    format: str
    """A name in `formats.TABLES`, else `jsonl`."""
    num_bytes: int
    sha256: str
    """Of the file's own bytes, compressed as they may be."""


@dataclass(frozen=True)
class Piece:
    """Whole rows of one file that follow each other."""

    file: int
    """Index into the files of the inventory."""
    start: int
    """First byte of the decompressed stream (jsonl), or first row from 0 (parquet, arrow)."""
    end: int
    first_row: int
    """Number of the first line or row, from 1."""
    num_bytes: int
    """Size in memory, decompressed."""
    sha256: str
    """Of the decompressed bytes (jsonl); empty elsewhere: there the file's own hash is checked."""


@dataclass(frozen=True)
class Scan:
    """What one pass over a file found."""

    num_bytes: int
    sha256: str
    pieces: list[Piece]
    num_rows: int
    num_blank: int = 0
    warnings: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Row:
    """One row: a value, or the problem with it; a blank line has neither."""

    line: int
    """Number of the line or row, from 1."""
    byte_offset: int | None
    """Where the line begins in the decompressed stream; None in tables."""
    raw: bytes
    """The line without its end, shortened if the row is too long; empty in tables."""
    num_bytes: int
    """Full length, as far as it is known."""
    value: dict[str, Any] | None = None
    problem: RowProblem | None = None
    num_unread: int = 0
    """Columns of a table that are not even read."""

    @property
    def is_blank(self) -> bool:
        """Return whether the line holds no row."""
        return self.value is None and self.problem is None


class Cursor(Protocol):
    """An open file that is read forwards, piece by piece."""

    def is_before(self, piece: Piece) -> bool:
        """Return whether the piece still lies ahead."""

    def rows(self, piece: Piece) -> Iterator[Row]:
        """Yield the rows of the piece; InputError if the file changed since the inventory."""

    def close(self) -> None:
        """Close the file."""


class Cutter:
    """Cuts one file into pieces while its rows go by.

    A piece may grow to what a shard would hold if the drop ended here, so that no piece is larger
    than a shard, whatever is still to come.
    """

    def __init__(self, file: int, bytes_before: int) -> None:
        """Start at row 1 of the file with this index, after the bytes of the files before it."""
        self.file = file
        self.pieces: list[Piece] = []
        self._total = bytes_before
        self._num_bytes = 0
        self._start = 0
        self._first_row = 1

    def grow(self, num_bytes: int) -> bool:
        """Count a row or batch of this size; return whether the piece is now full."""
        self._num_bytes += num_bytes
        self._total += num_bytes
        return self._num_bytes >= shard_bytes(self._total)

    def cut(self, end: int, next_row: int, sha256: str = "") -> None:
        """End the piece here, unless it is empty."""
        if end > self._start:
            self.pieces.append(
                Piece(self.file, self._start, end, self._first_row, self._num_bytes, sha256)
            )
        self._start, self._first_row, self._num_bytes = end, next_row, 0


def shard_bytes(total: int) -> int:
    """Return how large a shard should be for a drop of `total` decompressed bytes."""
    return min(max(total // _SHARDS_OF_SMALL_INPUTS, _MIN_PIECE_BYTES), _MAX_PIECE_BYTES)


def pack(pieces: list[Piece]) -> tuple[tuple[Piece, ...], ...]:
    """Return the pieces as shards, in order: a shard is full before its next piece is too much."""
    limit = shard_bytes(sum(piece.num_bytes for piece in pieces))
    shards: list[list[Piece]] = []
    size = 0
    for piece in pieces:
        if not shards or size + piece.num_bytes > limit:
            shards.append([])
            size = 0
        shards[-1].append(piece)
        size += piece.num_bytes
    return tuple(map(tuple, shards))


def changed(file: InputFile, row: int) -> InputError:
    """Return the error for a file that is not what the inventory saw."""
    return InputError(
        f"{file.path}:{row}: changed since the run was planned (wanted sha256 "
        f"{file.sha256[:16]}). Run the same command again to plan anew; inputs may not change "
        "while a run reads them."
    )
