"""Samples with the same id, over all shards of a corpus, and samples that others hold already.

Sizes: N = samples of the corpus; under 100 bytes each are held, however long its id and text are.
U = their different contents. M = samples of a shard of another corpus; one is held at a time.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tokensieve.corpus import Bools, Int64s
from tokensieve.errors import InputError
from tokensieve.ingest.pieces import InputFile

Hashes = NDArray[np.uint64]
CONTENT = ["content_hash"]
"""The columns that `find_seen` and `num_shared` look at."""


@dataclass(frozen=True)
class Duplicates:
    """The samples of a corpus that were there before."""

    rows: dict[str, list[int]]
    """Shard number as text -> its rows that repeat an earlier sample, as `read_shard` takes it."""
    warnings: tuple[str, ...]
    num_seen: int = 0
    """Those of them that another corpus holds."""

    @property
    def num_rows(self) -> int:
        """Return how many samples are skipped."""
        return sum(map(len, self.rows.values()))

    @property
    def notes(self) -> dict[str, Any]:
        """Return what goes on record in the corpus's commit."""
        return {"duplicates": self.rows} | ({"seen": self.num_seen} if self.num_seen else {})

    def with_seen(self, rows: Sequence[pa.Table], seen_N: Bools) -> "Duplicates":
        """Return them with the samples that `find_seen` found in `rows`."""
        skipped_N = seen_N.copy()
        places = _Places(rows, ())
        skipped_N[places.numbers(self.rows)] = True
        num_seen = int(seen_N.sum())
        return replace(self, rows=places.by_shard(np.flatnonzero(skipped_N)), num_seen=num_seen)


def num_shared(ours: Sequence[pa.Table], theirs: Iterable[pa.Table]) -> int:
    """Return how many of our samples say the same as one of theirs, as `find_seen` has it."""
    return int(find_seen(ours, theirs).sum())


def find_seen(rows: Sequence[pa.Table], earlier: Iterable[pa.Table]) -> Bools:
    """Return seen_N: whether a sample says the same as one of `earlier`, whatever their ids.

    Both hold shards' tables in ROWS_SCHEMA, of which CONTENT is enough. What samples say is
    compared by 64 bits of a hash.
    """
    content_N = np.concatenate([_hashes(table, *CONTENT) for table in rows])[:, 0]
    content_U, number_N = np.unique(content_N, return_inverse=True)
    seen_U = np.zeros(len(content_U), dtype=bool)
    for table in earlier:
        content_M = _hashes(table, *CONTENT)[:, 0]
        place_M = np.searchsorted(content_U, content_M)
        inside_M = place_M < len(content_U)
        place_M = place_M[inside_M]
        seen_U[place_M[content_U[place_M] == content_M[inside_M]]] = True
    seen_N: Bools = seen_U[number_N]
    return seen_N


def find_duplicates(rows: Sequence[pa.Table], files: Sequence[InputFile]) -> Duplicates:
    """Return the samples whose id and content an earlier sample has.

    `rows` holds each shard's table in ROWS_SCHEMA. Raises InputError, naming both places, if two
    samples have the same id and different content.
    """
    id_N2, normal_id_N1, content_N1 = (
        np.concatenate([_hashes(table, name) for table in rows])
        for name in ("id_hash", "normal_id_hash", "content_hash")
    )
    first_N = _first_with_same(id_N2)
    places = _Places(rows, files)
    conflicts = np.flatnonzero((content_N1 != content_N1[first_N])[:, 0])
    if conflicts.size:
        here, there = places.name(conflicts[0]), places.name(first_N[conflicts[0]])
        raise InputError(
            f"{here}:id: is the id of {there} too, but what it says differs "
            f"({conflicts.size} such rows). Give each sample its own id, or leave ids out."
        )
    repeated_N = first_N != np.arange(len(first_N))
    return Duplicates(
        places.by_shard(np.flatnonzero(repeated_N)),
        _warn_of_lookalikes(id_N2, normal_id_N1, places),
    )


def _warn_of_lookalikes(id_N2: Hashes, normal_id_N1: Hashes, places: "_Places") -> tuple[str, ...]:
    """Return a warning if ids differ only in how Unicode writes the same characters."""
    first_N = _first_with_same(normal_id_N1)
    found = np.flatnonzero((id_N2 != id_N2[first_N]).any(axis=1))
    if not found.size:
        return ()
    here, there = places.name(found[0]), places.name(first_N[found[0]])
    return (
        f"{here}:id: looks like the id of {there} and differs only in its Unicode normalisation "
        f"({found.size} such ids); they are taken as different samples",
    )


def _first_with_same(keys_NK: Hashes) -> Int64s:
    """Return for each row the first row whose K keys are the same."""
    order = np.lexsort(keys_NK.T)  # stable: equal rows stay in their order
    sorted_NK = keys_NK[order]
    begins: Bools = np.ones(len(order), dtype=bool)
    begins[1:] = (sorted_NK[1:] != sorted_NK[:-1]).any(axis=1)
    first_N = np.empty(len(order), dtype=np.int64)
    first_N[order] = order[begins][np.cumsum(begins) - 1]
    return first_N


def _hashes(table: pa.Table, name: str) -> Hashes:
    """Return a column of hashes as rows of 64-bit numbers."""
    column = table[name]
    width = column.type.byte_width // 8
    chunks = [np.frombuffer(_bytes(chunk), dtype=np.uint64) for chunk in column.chunks]
    return np.concatenate([np.empty(0, np.uint64), *chunks]).reshape(-1, width)


def _bytes(array: pa.Array) -> Any:
    width = array.type.byte_width
    return array.buffers()[1][array.offset * width : (array.offset + len(array)) * width]


class _Places:
    """Where the samples of the corpus come from, by their number over all shards."""

    def __init__(self, rows: Sequence[pa.Table], files: Sequence[InputFile]) -> None:
        self._rows = rows
        self._files = files
        self._starts = np.array(list(accumulate(map(len, rows), initial=0)))

    def name(self, number: int) -> str:
        """Return FILE:LINE of a sample."""
        shard, row = self._locate(number)
        table = self._rows[shard]
        file = self._files[table["file"][row].as_py()]
        return f"{file.path}:{table['line'][row].as_py()}"

    def by_shard(self, numbers: Int64s) -> dict[str, list[int]]:
        """Return the rows of each shard that has any."""
        found: dict[str, list[int]] = {}
        for shard, row in map(self._locate, numbers.tolist()):
            found.setdefault(str(shard), []).append(row)
        return found

    def numbers(self, rows: Mapping[str, list[int]]) -> list[int]:
        """Return the numbers of the rows of each shard: what `by_shard` was given."""
        return [int(self._starts[int(shard)]) + row for shard in rows for row in rows[shard]]

    def _locate(self, number: int) -> tuple[int, int]:
        shard = int(np.searchsorted(self._starts, number, side="right")) - 1
        return shard, int(number - self._starts[shard])
