"""The artifacts' files of a workspace in a store, as DuckDB reads them.

DuckDB knows no store. What it opens here is read by ranges through the storage: of Parquet the
footer and the columns that a statement names. There is nothing else to be opened, and nothing to be
written; no credentials come near DuckDB.
"""

import io
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime

import duckdb
from fsspec import AbstractFileSystem

from sql.statements import run
from tokensieve.addresses import is_address
from tokensieve.errors import DamagedError, TokensieveError
from tokensieve.storage import Storage

_PROTOCOL = "s3"
_NEVER_CHANGED = datetime(2000, 1, 1, tzinfo=UTC)


@contextmanager
def stored_files(connection: duckdb.DuckDBPyConnection, storage: Storage) -> Iterator[None]:
    """Let the open index read the files of its artifacts until the block ends.

    Nothing is done for paths, which DuckDB reads by itself. What the storage raises in the block
    is raised as it is, whatever DuckDB makes of it.
    """
    if not is_address(str(storage)):
        yield
        return
    files = _StoredFiles(storage, dict(run(connection, "list_table_files").fetchall()))
    connection.register_filesystem(files)
    try:
        yield
    except (duckdb.Error, TokensieveError):
        if files.error:
            raise files.error from None
        raise
    finally:
        connection.unregister_filesystem(_PROTOCOL)


class _StoredFiles(AbstractFileSystem):  # type: ignore[misc]
    """What DuckDB asks of a file system, for the tables that the index names."""

    protocol = _PROTOCOL
    cachable = False

    def __init__(self, storage: Storage, num_bytes: Mapping[str, int]) -> None:
        """Take the size of each file by its key."""
        super().__init__()
        self._storage = storage
        self._files = {storage.place(key): (key, size) for key, size in num_bytes.items()}
        self.error: TokensieveError | None = None
        """What the storage raised last. DuckDB hands on no more than its text."""

    def info(self, path: str, **_: object) -> dict[str, object]:
        """Return name, size and type of a file that is never looked for: the index knows it."""
        return {"name": path, "size": self._named(path)[1], "type": "file"}

    def modified(self, path: str) -> datetime:
        """Return one time for all: they never change."""
        return _NEVER_CHANGED

    def glob(self, path: str, **_: object) -> list[str]:
        """Return the path itself: the names hold no patterns."""
        return [path] if path in self._files else []

    def _open(self, path: str, mode: str = "rb", **_: object) -> io.RawIOBase:
        if mode != "rb":
            raise PermissionError(f"{path}: is only read")
        return _StoredFile(self, *self._named(path))

    def read_range(self, key: str, start: int, end: int) -> bytes:
        """Return some bytes of a file, and remember what goes wrong."""
        try:
            return self._storage.read_range(key, start, end)
        except DamagedError as error:
            self.error = DamagedError(f"{error} Run the command that made it again.")
            raise self.error from None
        except TokensieveError as error:
            self.error = error
            raise

    def _named(self, path: str) -> tuple[str, int]:
        """Return key and size of a file."""
        if path not in self._files:
            raise FileNotFoundError(path)
        return self._files[path]

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return path


class _StoredFile(io.RawIOBase):
    """A file that is open for reading."""

    def __init__(self, files: _StoredFiles, key: str, num_bytes: int) -> None:
        super().__init__()
        self._files, self._key, self._num_bytes = files, key, num_bytes
        self._position = 0

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._num_bytes}
        self._position = start[whence] + offset
        return self._position

    def tell(self) -> int:
        return self._position

    def read(self, size: int = -1) -> bytes:
        end = self._num_bytes if size < 0 else min(self._position + size, self._num_bytes)
        if end <= self._position:
            return b""
        data = self._files.read_range(self._key, self._position, end)
        self._position = end
        return data
