"""Parquet files, decoded a few rows at a time: neither footer nor file size says how much it is."""

from collections.abc import Callable
from itertools import accumulate
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from tokensieve.errors import InputError, shortened
from tokensieve.ingest.opening import file_size, open_regular, reading
from tokensieve.ingest.tables import BATCH_ROWS, Batches, Table, columns_to_read

_MAX_FOOTER_BYTES = 64 << 20
_MAX_COLUMNS = 1_000
_MAX_ROW_GROUPS = 100_000
_TAIL = 8
"""Bytes of the footer's length and the final magic number."""


def open_parquet(path: str) -> Table:
    """Return the table in a Parquet file; InputError if it is damaged, encrypted or excessive."""
    footer_start = _footer_start(path)
    with reading(path):
        file = _open(path)
        metadata = file.metadata
    for count, limit, what in (
        (metadata.num_columns, _MAX_COLUMNS, "columns"),
        (metadata.num_row_groups, _MAX_ROW_GROUPS, "row groups"),
    ):
        if count > limit:
            raise InputError(f"{path}: has {count} {what}; the limit is {limit}. Rewrite it.")
    with reading(path):
        schema = file.schema_arrow
    columns = columns_to_read(path, schema)
    warnings = _warn_of_unused_bytes(path, metadata, footer_start)
    return Table(schema, columns, _batches(path, columns), warnings)


def _open(path: str) -> pq.ParquetFile:
    return pq.ParquetFile(
        pa.OSFile(path),  # not the path: only a file of exactly this name
        page_checksum_verification=True,
        thrift_string_size_limit=_MAX_FOOTER_BYTES,
        thrift_container_size_limit=_MAX_FOOTER_BYTES,
    )


def _batches(path: str, columns: list[str]) -> Callable[[int], Batches]:
    def read(row: int) -> Batches:
        file = _open(path)
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


def _footer_start(path: str) -> int:
    """Return where the footer begins; InputError if the file does not end like a Parquet file."""
    size = file_size(path)
    with open_regular(path) as file, reading(path):
        file.seek(max(size - _TAIL, 0))
        tail = file.read(_TAIL)
    if tail[4:] == b"PARE":
        raise InputError(f"{path}: is encrypted. Decrypt it first.")
    length = int.from_bytes(tail[:4], "little")
    whole = tail[4:] == b"PAR1" and 0 < length <= size - _TAIL - 4
    if not whole:
        raise InputError(
            f"{path}: is not a complete Parquet file ({size} bytes, ending "
            f"{shortened(tail)}). Is it cut? Copy it again."
        )
    if length > _MAX_FOOTER_BYTES:
        raise InputError(f"{path}: its footer has {length} bytes; the limit is 64 MiB. Rewrite it.")
    return size - _TAIL - length


def _warn_of_unused_bytes(path: str, metadata: pq.FileMetaData, footer_start: int) -> list[str]:
    """Return a warning if most of the file is not part of the table: files put one after another.

    Only the last footer of such a file counts, and its offsets point into the first part.
    """
    if not metadata.num_row_groups:
        return []
    last = metadata.row_group(metadata.num_row_groups - 1)
    used = max(_end_of_chunk(last.column(n)) for n in range(last.num_columns))
    if footer_start - used >= used:
        return [
            f"{path}: only the first {used} of {footer_start} bytes belong to its table. "
            f"Is {Path(path).name} several files put together?"
        ]
    return []


def _end_of_chunk(chunk: pq.ColumnChunkMetaData) -> int:
    start = chunk.dictionary_page_offset or chunk.data_page_offset
    return int(start + chunk.total_compressed_size)
