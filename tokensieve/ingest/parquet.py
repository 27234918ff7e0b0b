"""Parquet files, decoded a few rows at a time: neither footer nor file size says how much it is."""

from collections.abc import Callable
from itertools import accumulate

import pyarrow as pa
import pyarrow.parquet as pq

from tokensieve.errors import InputError, shortened
from tokensieve.ingest.opening import Place, file_size, open_native, open_regular, reading
from tokensieve.ingest.tables import BATCH_ROWS, Batches, Table, columns_to_read

_MAX_FOOTER_BYTES = 64 << 20
_MAX_COLUMNS = 1_000
_MAX_ROW_GROUPS = 100_000
_TAIL_BYTES = 8  # the footer's length and the end mark
_MAGIC = b"PAR1"
_CHUNK = 1 << 20


def open_parquet(path: Place) -> Table:
    """Return the table in a Parquet file; InputError if it is damaged, encrypted or excessive."""
    _check_footer(path)
    with reading(path):
        schema = checked_file(path, open_native(path)).schema_arrow
        columns = columns_to_read(path, schema)
    return Table(schema, columns, _batches(path, columns))


def checked_file(path: Place, source: pa.NativeFile) -> pq.ParquetFile:
    """Return the Parquet file in `source`; InputError, of `path`, if it is of excessive shape.

    Whether it is whole is for the caller to find out before: `check_ending`.
    """
    file = _open(source)
    _check_limit(path, file.metadata.num_columns, _MAX_COLUMNS, "columns")
    _check_limit(path, file.metadata.num_row_groups, _MAX_ROW_GROUPS, "row groups")
    return file


def warn_of_joined_files(path: Place) -> list[str]:
    """Return a warning if the file is Parquet files one after another: only one would be read.

    Its end mark is then followed by a start mark. (The offsets in the footer would tell too, but
    reading them from a damaged footer ends the process.)
    """
    before = b""
    with open_regular(path) as file, reading(path):
        while chunk := file.read(_CHUNK):
            if _MAGIC + _MAGIC in before + chunk:
                return [
                    f"{path}: looks like several Parquet files put together, of which only one "
                    "is read. Give them as files of their own."
                ]
            before = chunk[1 - 2 * len(_MAGIC) :]
    return []


def _open(source: pa.NativeFile) -> pq.ParquetFile:
    return pq.ParquetFile(
        source,  # not a path: Arrow would take some for addresses
        page_checksum_verification=True,
        thrift_string_size_limit=_MAX_FOOTER_BYTES,
        thrift_container_size_limit=_MAX_FOOTER_BYTES,
    )


def _batches(path: Place, columns: list[str]) -> Callable[[int], Batches]:
    def read(row: int) -> Batches:
        file = _open(open_native(path))
        sizes = [file.metadata.row_group(n).num_rows for n in range(file.num_row_groups)]
        starts = list(accumulate(sizes, initial=0))
        groups = [n for n in range(len(sizes)) if starts[n + 1] > row]
        start = starts[groups[0]] if groups else 0
        for batch in file.iter_batches(
            BATCH_ROWS, row_groups=groups, columns=columns, use_threads=False
        ):
            yield start, batch
            start += len(batch)

    return read


def _check_limit(path: Place, count: int, limit: int, what: str) -> None:
    if count > limit:
        raise InputError(f"{path}: has {count} {what}; the limit is {limit}. Rewrite it.")


def _check_footer(path: Place) -> None:
    size = file_size(path)
    with open_regular(path) as file, reading(path):
        file.seek(max(size - _TAIL_BYTES, 0))
        check_ending(path, size, file.read(_TAIL_BYTES) or b"")


def check_ending(path: Place, size: int, ending: bytes) -> None:
    """Raise InputError if a file of this size and ending is no whole Parquet file we can read."""
    tail = ending[-_TAIL_BYTES:]
    if tail[4:] == b"PARE":
        raise InputError(f"{path}: is encrypted. Decrypt it first.")
    length = int.from_bytes(tail[:4], "little")
    if tail[4:] != _MAGIC or not 0 < length <= size - _TAIL_BYTES - len(_MAGIC):
        raise InputError(
            f"{path}: is not a complete Parquet file ({size} bytes, ending "
            f"{shortened(tail)}). Is it cut? Copy it again."
        )
    _check_limit(path, length, _MAX_FOOTER_BYTES, "bytes of footer")
