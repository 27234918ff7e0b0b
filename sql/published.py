"""The published index: where it lies, whether it is ours, and a connection that only reads it."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import duckdb

from sql.statements import Settings, connect, run
from sql.stored_files import stored_files
from tokensieve.errors import ConflictError, DamagedError, InputError
from tokensieve.storage import Storage

INDEX_KEY = "index/tokensieve.duckdb"
SCHEMA_VERSION = 6
"""Raised when schema/ or views/ change; an index of an older one is made anew."""

NO_ROOM = re.compile("Could not write|No space|Out of Memory")  # DuckDB's classes do not tell
REBUILD = "Run `tokensieve index --rebuild` to make it anew from the artifacts."


class Meta(NamedTuple):
    """What an index says of itself."""

    format: str
    schema_version: int
    workspace: str


def index_place(storage: Storage) -> str:
    """Return where the index of the workspace is published, as people know it."""
    return storage.place(INDEX_KEY)


@contextmanager
def connect_published(
    storage: Storage, settings: Settings | None = None
) -> Iterator[duckdb.DuckDBPyConnection]:
    """Yield a read-only connection to the published index, checked to be ours and current.

    It keeps the snapshot it opened when a newer index is published. The index of a workspace in a
    store is fetched first, unless this machine has it. Raises InputError if there is no index or it
    has another schema, DamagedError if it cannot be read, ConflictError if another process has
    opened it for writing, and what the storage raises.
    """
    place = index_place(storage)
    with _opened(_fetched(storage), place, settings) as connection:
        version = read_meta(connection, place).schema_version
        if version != SCHEMA_VERSION:
            raise InputError(
                f"{place}: has schema version {version}; this tokensieve reads {SCHEMA_VERSION}. "
                f"{REBUILD}"
            )
        with stored_files(connection, storage):
            yield connection


def _fetched(storage: Storage) -> Path:
    """Return the published index as a file on this machine."""
    place = index_place(storage)
    try:
        return storage.local(INDEX_KEY)
    except FileNotFoundError:
        raise InputError(
            f"{place}: there is no index yet. Finish a run, or run `tokensieve index` to make it."
        ) from None
    except DamagedError as error:
        raise DamagedError(f"{error} Ask again. If it says so again: {REBUILD}") from None


def copied_meta(copy: Path, place: str) -> Meta:
    """Return what `copy`, the bytes of the index at `place`, says of itself.

    Raises DamagedError if it cannot be read, InputError if it is not an index of tokensieve.
    """
    with _opened(copy, place) as connection:
        return read_meta(connection, place)


def read_meta(connection: duckdb.DuckDBPyConnection, place: str) -> Meta:
    """Return the index's meta row; raise InputError if the database at `place` has none."""
    try:
        row = run(connection, "read_meta").fetchone()
    except (duckdb.CatalogException, duckdb.BinderException):
        row = None  # somebody else's tables
    if row is None:
        raise InputError(
            f"{place}: is a DuckDB file, but not an index of tokensieve. It is left as it is: "
            "move it away and run the same command again."
        )
    return Meta(*row)


def _opened(file: Path, place: str, settings: Settings | None = None) -> duckdb.DuckDBPyConnection:
    """Return a read-only connection to `file`; errors speak of `place`."""
    try:
        return connect(file, settings, read_only=True)
    except duckdb.Error as error:
        reason = first_line(error)
        if "Could not set lock" in reason:  # DuckDB has no class for it; the text names the process
            raise ConflictError(
                f"{place}: is open for writing elsewhere, which nothing of ours does: {reason} "
                "End that process; `duckdb -readonly` reads without a lock on others."
            ) from None
        raise DamagedError(f"{place}: cannot be read as an index: {reason} {REBUILD}") from None


def first_line(error: Exception) -> str:
    """Return what a message of DuckDB's says first; the rest is advice to its own users."""
    return str(error).splitlines()[0]
