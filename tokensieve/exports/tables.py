"""Files of rows: what the formats share that are one table.

Columns are arrays over T, the tokens of a shard, by their name; in the file they are one list for
each sample.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tokensieve.artifact import parquet_bytes
from tokensieve.corpus import Int64s, list_array
from tokensieve.exports.format import Destination, Write
from tokensieve.exports.rows import Rows
from tokensieve.selection import NOT_TRAINED

Columns = Callable[[Rows, Destination], tuple[Int64s, Mapping[str, NDArray[Any]]]]
"""Returns offsets_N1 and the columns of a shard."""

PARQUET = "data/train-*.parquet"


class Loading(NamedTuple):
    """Pieces of a recipe in Python that loads the rows."""

    imports: str
    """What stands before the import of datasets."""
    data: str
    """The value of DATA."""
    call: str


def loading(to: Destination, kind: str, files: str) -> Loading:
    """Return how the rows are loaded: from the hub, or from the files beside the recipe."""
    if to.hub_name is not None:
        return Loading("", repr(to.hub_name), 'load_dataset(DATA, split="train")')
    return Loading(
        "from pathlib import Path\n\n",
        f'str(Path(__file__).resolve().parent / "{files}")',
        f'load_dataset("{kind}", data_files=DATA, split="train")',
    )


def parquet_writer(columns: Columns) -> Write:
    """Return what writes one Parquet file for each shard."""

    def write(shards: Iterator[Rows], directory: Path, to: Destination) -> Mapping[str, int]:
        written: Counter[str] = Counter()
        for number, rows in enumerate(shards):
            offsets_N1, values = columns(rows, to)
            table = pa.table({name: list_array(offsets_N1, each) for name, each in values.items()})
            path = directory / f"data/train-{shard_name(number, to)}.parquet"
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(parquet_bytes(table))
            written.update(samples=table.num_rows, trained_tokens=num_trained(values))
        return written

    return write


def line_writer(lines: Callable[[Rows], Iterator[Mapping[str, Any]]]) -> Write:
    """Return what writes one JSON object for each sample, in ASCII; a file for each shard.

    An object has `labels`.
    """

    def write(shards: Iterator[Rows], directory: Path, to: Destination) -> Mapping[str, int]:
        written: Counter[str] = Counter()
        for number, rows in enumerate(shards):
            path = directory / f"data/train-{shard_name(number, to)}.jsonl"
            path.parent.mkdir(exist_ok=True)
            with path.open("w", encoding="ascii", newline="\n") as file:
                for line in lines(rows):
                    file.write(json_line(line))
                    trained = sum(label != NOT_TRAINED for label in line["labels"])
                    written.update(samples=1, trained_tokens=trained)
        return written

    return write


def json_line(row: Mapping[str, Any]) -> str:
    """Return a row as one line of ASCII, so that no reader takes anything in it for a line end."""
    return json.dumps(row, ensure_ascii=True, allow_nan=False, separators=(",", ":")) + "\n"


def shard_name(number: int, to: Destination) -> str:
    """Return how files of a shard are numbered, as the hub does it."""
    return f"{number:05d}-of-{to.num_shards:05d}"


def num_trained(columns: Mapping[str, NDArray[Any]]) -> int:
    """Return how many tokens are trained on, by labels or by weights."""
    if "labels" in columns:
        return int(np.count_nonzero(columns["labels"] != NOT_TRAINED))
    return int(np.count_nonzero(columns["loss_weights"] > 0))


def moved_back(values_T: NDArray[Any], offsets_N1: Int64s, last: float) -> NDArray[Any]:
    """Return what belongs to the next token of the sample, at every token; `last` at the last."""
    moved_T = np.append(values_T[1:], values_T[:1])
    moved_T[offsets_N1[1:] - 1] = last
    return moved_T
