"""Samples as flat arrays, and the Parquet schemas of corpus and score shards.

Shapes: N = samples of a shard, T = all their tokens one after another, and offsets_N1 with N + 1
entries, so that sample n is the slice offsets_N1[n]:offsets_N1[n + 1] of every array over T.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tokensieve.artifact import Artifact, Commit
from tokensieve.errors import DamagedError

Int8s = NDArray[np.int8]
Int32s = NDArray[np.int32]
Int16s = NDArray[np.int16]
Int64s = NDArray[np.int64]
Float32s = NDArray[np.float32]
Float64s = NDArray[np.float64]
Bools = NDArray[np.bool_]

CORPUS_SCHEMA = pa.schema(
    [
        pa.field("sample_id", pa.string(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("input_ids", pa.list_(pa.int32()), nullable=False),
        pa.field("response", pa.list_(pa.bool_()), nullable=False),
        pa.field("turn", pa.list_(pa.int16()), nullable=False),
    ]
)


@dataclass(frozen=True)
class Samples:
    """Samples as a model reads them."""

    sample_ids: list[str]
    """N ids, unique in the corpus."""
    offsets_N1: Int64s
    """Where each sample begins, and the end."""
    input_ids_T: Int32s
    """Token ids, template included."""

    @property
    def num_samples(self) -> int:
        """Return N."""
        return len(self.sample_ids)

    @property
    def lengths_N(self) -> Int64s:
        """Return the number of tokens of each sample."""
        return np.diff(self.offsets_N1)

    def slices(self) -> Iterator[slice]:
        """Yield the slice of each sample into the arrays over T."""
        return (slice(start, end) for start, end in pairwise(self.offsets_N1.tolist()))


@dataclass(frozen=True)
class Shard(Samples):
    """The samples of one corpus shard."""

    sources: list[str]
    """N names of where the sample came from."""
    response_T: Bools
    """True where the token belongs to an answer of the assistant."""
    turn_T: Int16s
    """Which exchange the token belongs to, from 0."""

    @property
    def scorable_T(self) -> Bools:
        """Return the response tokens that a model can predict: all but one at position 0."""
        scorable = self.response_T.copy()
        scorable[self.offsets_N1[:-1][self.lengths_N > 0]] = False
        return scorable

    def to_table(self) -> pa.Table:
        """Return the shard in CORPUS_SCHEMA."""
        columns = [
            pa.array(self.sample_ids, pa.string()),
            pa.array(self.sources, pa.string()),
            list_array(self.offsets_N1, self.input_ids_T),
            list_array(self.offsets_N1, self.response_T),
            list_array(self.offsets_N1, self.turn_T),
        ]
        return pa.Table.from_arrays(columns, schema=CORPUS_SCHEMA)

    @classmethod
    def from_table(cls, table: pa.Table) -> "Shard":
        """Return the samples of a table in CORPUS_SCHEMA."""
        offsets_N1, input_ids_T = flat_array(table["input_ids"])
        return cls(
            sample_ids=table["sample_id"].to_pylist(),
            sources=table["source"].to_pylist(),
            offsets_N1=offsets_N1,
            input_ids_T=input_ids_T,
            response_T=flat_array(table["response"])[1],
            turn_T=flat_array(table["turn"])[1],
        )


def read_shard(corpus: Artifact, commit: Commit, shard: int) -> Shard:
    """Return the samples of a committed corpus shard, without those skipped as duplicates."""
    table = corpus.read_table(commit.receipts[shard], "shards")
    duplicates = commit.notes.get("duplicates", {}).get(str(shard), [])
    if duplicates:
        keep = np.ones(table.num_rows, dtype=bool)
        keep[duplicates] = False
        table = table.filter(pa.array(keep))
    return Shard.from_table(table)


def scores_table(shard: Shard, columns: Mapping[str, Float32s]) -> pa.Table:
    """Return one row per sample: its id and a list<float> of its tokens for each column.

    `columns` are arrays over T; NaN (not a response token, or a score that was not finite) becomes
    null, so that nobody can take it for a number.
    """
    arrays = [pa.array(shard.sample_ids, pa.string())]
    fields = [pa.field("sample_id", pa.string(), nullable=False)]
    for name, values_T in columns.items():
        arrays.append(list_array(shard.offsets_N1, values_T))
        fields.append(pa.field(name, pa.list_(pa.float32()), nullable=False))
    return pa.Table.from_arrays(arrays, schema=pa.schema(fields))


def score_column(table: pa.Table, name: str, shard: Shard) -> Float32s:
    """Return a score column as an array over T, NaN where there is no score.

    Raises DamagedError if its rows are not the shard's samples, in order and in length.
    """
    offsets_N1, values_T = flat_array(table[name])
    same = table["sample_id"].to_pylist() == shard.sample_ids
    if not same or not np.array_equal(offsets_N1, shard.offsets_N1):
        raise DamagedError(f"score column {name}: its rows are not the samples of the corpus shard")
    return values_T


def list_array(offsets_N1: Int64s, values_T: NDArray[Any]) -> pa.ListArray:
    """Return the values as one Arrow list per sample. NaN becomes null."""
    is_float = np.issubdtype(values_T.dtype, np.floating)
    values = pa.array(values_T, from_pandas=is_float)  # from_pandas: NaN is null
    return pa.ListArray.from_arrays(pa.array(offsets_N1, pa.int32()), values)


def flat_array(column: pa.ChunkedArray) -> tuple[Int64s, NDArray[Any]]:
    """Return (offsets_N1, values_T) of a list column; null floats become NaN."""
    lists = column.combine_chunks()
    if isinstance(lists, pa.ChunkedArray):  # no chunk at all, or too long for one
        lists = pa.concat_arrays(lists.chunks) if lists.num_chunks else pa.array([], column.type)
    offsets = lists.offsets.to_numpy().astype(np.int64)
    values = lists.flatten().to_numpy(zero_copy_only=False)
    return offsets - offsets[0], values
