"""Arrow streams, as `datasets` keeps them in a directory or in its cache."""

from collections.abc import Callable

import pyarrow as pa

from tokensieve.errors import InputError
from tokensieve.ingest.opening import Place, file_size, kind_of, open_native, open_regular, reading
from tokensieve.ingest.tables import BATCH_ROWS, Batches, Table, columns_to_read

_END = b"\xff\xff\xff\xff\0\0\0\0"


def open_arrow(path: Place) -> Table:
    """Return the table in an Arrow stream; InputError if it is cut or its columns do not fit."""
    _check_end(path)
    with reading(path), _open(path) as stream:
        schema = stream.schema
    columns = columns_to_read(path, schema)
    return Table(schema, columns, _batches(path, columns))


def _open(path: Place) -> pa.RecordBatchStreamReader:
    return pa.ipc.open_stream(open_native(path))


def _batches(path: Place, columns: list[str]) -> Callable[[int], Batches]:
    def read(row: int) -> Batches:
        start = 0
        for stored in _open(path):
            stored.validate(full=True)  # nothing else checks an offset before it is followed
            batch = stored.select(columns)
            for first in range(0, len(batch), BATCH_ROWS):
                yield start + first, batch.slice(first, BATCH_ROWS)
            start += len(batch)

    return read


def _check_end(path: Place) -> None:
    """Raise InputError if the stream has no end mark: without it, a cut stream looks whole."""
    kind_of(path)  # says so if it is a Git LFS pointer or an error page
    size = file_size(path)
    with open_regular(path) as file, reading(path):
        file.seek(max(size - len(_END), 0))
        tail = file.read(len(_END))
    if tail != _END:
        raise InputError(f"{path}: is no complete Arrow stream ({size} bytes). Copy it again.")
