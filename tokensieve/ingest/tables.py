"""Rows of Parquet and Arrow tables: which columns are read, of which types, and how."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from tokensieve.errors import InputError, shortened
from tokensieve.ingest.column_types import kind_of_column
from tokensieve.ingest.opening import Place, content_of, reading
from tokensieve.ingest.pieces import MAX_ROW_BYTES, Cutter, InputFile, Piece, Row, Scan, changed
from tokensieve.ingest.records import RowProblem, shape_of

BATCH_ROWS = 64
"""Rows that are decoded at once: few, as a row may hold up to MAX_ROW_BYTES."""

Batches = Iterator[tuple[int, pa.RecordBatch]]
"""Batches with the number of their first row, from 0."""


@dataclass(frozen=True)
class Table:
    """A file of rows in columns."""

    schema: pa.Schema
    columns: list[str]
    """Names of the columns that are read."""
    batches: Callable[[int], Batches]
    """A row -> the batches, of these columns, that begin with this row or one before it."""


class TableCursor:
    """Reads pieces of a table; those that follow each other cost one pass."""

    def __init__(self, file: InputFile, open_table: Callable[[Place], Table]) -> None:
        """Open the file; InputError if its content is not what the inventory saw."""
        self._file = file
        self._stamp = _stamp(file.path)
        if isinstance(file.path, str) and content_of(file.path)[1] != file.sha256:
            raise changed(file, 1)
        self._table = open_table(file.path)
        self._num_unread = len(self._table.schema) - len(self._table.columns)
        self._batches: Batches | None = None
        self._batch: Any = None
        self._position = 0
        """The row with which `_batch` begins."""

    def is_before(self, piece: Piece) -> bool:
        """Return whether the piece still lies ahead."""
        return self._position <= piece.start

    def rows(self, piece: Piece) -> Iterator[Row]:
        """Yield the rows of the piece; InputError at its end if the file changed."""
        line = piece.first_row
        for batch in self._between(piece.start, piece.end):
            yield from _rows(batch, line, self._num_unread)
            line += batch.num_rows
        if _stamp(self._file.path) != self._stamp:
            raise changed(self._file, piece.first_row)

    def close(self) -> None:
        """Let go of the file."""
        self._batches = self._batch = None

    def _between(self, start: int, end: int) -> Iterator[pa.RecordBatch]:
        """Yield the rows from `start` to `end`; what is left of the last batch stays."""
        while self._position < end:
            if not self._batch:
                self._read_batch(start)
            size = len(self._batch)
            first, last = (min(max(row - self._position, 0), size) for row in (start, end))
            if first < last:
                yield self._batch.slice(first, last - first)
            self._batch = self._batch.slice(last)
            self._position += last

    def _read_batch(self, start: int) -> None:
        if self._batches is None:
            self._batches = self._table.batches(start)
        with reading(self._file.path):
            position, self._batch = next(self._batches, (-1, None))
        if self._batch is None:
            raise changed(self._file, self._position + 1)
        self._position = position


def scan_table(path: Place, table: Table, file: int, bytes_before: int) -> Scan:
    """Return the pieces and counts of a table, from one pass over its rows."""
    num_bytes, sha256 = content_of(path)
    cutter = Cutter(file, bytes_before)
    end = 0
    with reading(path):
        for start, batch in table.batches(0):
            end = start + batch.num_rows
            if cutter.grow(batch.nbytes):
                cutter.cut(end, end + 1)
    cutter.cut(end, end + 1)
    return Scan(num_bytes, sha256, cutter.pieces, end)


def columns_to_read(path: Place, schema: pa.Schema) -> list[str]:
    """Return the names of the columns that rows are made of; InputError if they cannot be."""
    for each in schema:
        if isinstance(each.type, pa.BaseExtensionType) or b"ARROW:extension:name" in (
            each.metadata or {}
        ):
            raise InputError(
                f"{path}: column {shortened(each.name)} is of an extension type; they are not "
                "accepted, as reading one can run code. Write it with plain types."
            )
        if schema.names.count(each.name) > 1:
            raise InputError(f"{path}: has two columns {shortened(each.name)}. Rename one.")
    return _columns_of_shape(path, schema)


def _columns_of_shape(path: Place, schema: pa.Schema) -> list[str]:
    try:
        shape = shape_of(dict.fromkeys(schema.names, True))
    except RowProblem as problem:
        raise InputError(f"{path}: {problem.detail}. Rename its columns.") from None
    if missing := [name for name in shape.required if name not in schema.names]:
        raise InputError(
            f"{path}: wants the columns {' and '.join(shape.required)}, but has no "
            f"{missing[0]}; found {shortened(', '.join(schema.names), 200)}."
        )
    columns = [name for name in schema.names if name in shape.fields]
    for name in columns:
        kind_of_column(path, name, schema.field(name).type)  # refuses what cannot be read
    return columns


def _rows(batch: pa.RecordBatch, line: int, num_unread: int) -> Iterator[Row]:
    """Yield the rows of a batch; where one of them cannot be read, the others still can."""
    size = batch.nbytes
    problem = None
    values = [None]
    if size > MAX_ROW_BYTES:
        detail = f"the row has {size} bytes; the limit is {MAX_ROW_BYTES}"
        problem = RowProblem("decompressed_too_large", detail)
    else:
        try:
            values = batch.to_pylist()
        except UnicodeDecodeError as error:
            problem = RowProblem("bad_utf8", shortened(error, 200), _bad_column(batch))
    if problem is not None and len(batch) > 1:
        for n in range(len(batch)):
            yield from _rows(batch.slice(n, 1), line + n, num_unread)
        return
    for n, value in enumerate(values):
        yield Row(line + n, None, b"", size // len(values), value, problem, num_unread)


def _bad_column(batch: pa.RecordBatch) -> str:
    """Return the name of the column that holds bytes that are no UTF-8."""
    for name in batch.schema.names:
        try:
            batch[name].to_pylist()
        except UnicodeDecodeError:
            return str(name)
    raise AssertionError("one of the columns is bad")


def _stamp(path: Place) -> tuple[int, ...]:
    """Return what changes when somebody writes to the file while it is being read.

    Of an object on S3 nothing can: each read of it is of what was found.
    """
    if not isinstance(path, str):
        return ()
    with reading(path):
        found = Path(path).stat()
        return found.st_ino, found.st_size, found.st_mtime_ns
