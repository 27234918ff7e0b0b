"""Build and publish the index: aside, from the artifacts, and swapped in whole.

The published file is never opened for writing. So an open shell never stops a run, a run never
stops a shell, and a crash leaves the index that stood before.
"""

import fcntl
import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import duckdb

from sql.artifact_views import create_views
from sql.published import (
    INDEX_KEY,
    REBUILD,
    SCHEMA_VERSION,
    Meta,
    copied_meta,
    first_line,
    index_path,
)
from sql.recording import DocumentKey, Finished, finished_documents, record_document
from sql.statements import connect, create_schema, run
from tokensieve.artifact import abort_point
from tokensieve.errors import DamagedError, InputError, ResourceError
from tokensieve.storage import Storage

BUILD_SETTINGS: dict[str, str | int] = {
    "memory_limit": "2GB",  # beyond it DuckDB spills beside the build
    "threads": 1,  # sums of floats depend on the order: the same rounds give the same numbers
    "storage_compatibility_version": "v1.0.0",  # so that the shell of any DuckDB 1.x reads it
}
LOCK_SECONDS = 600.0
"""How long a build waits for another one to finish."""

_BUILD_PREFIX = ".build-"
_NO_ROOM = re.compile("Could not write|No space|Out of Memory")  # DuckDB's classes do not tell


def update_index(storage: Storage) -> Path:
    """Add every finished round and arm that the published index lacks; return the index's path.

    An index of an older schema, or of a workspace that was moved or lost some, is made anew.
    Raises InputError for a file that is not ours or is newer, DamagedError for a damaged index or
    artifact, ResourceError if disk, memory or the wait for another build runs out.
    """
    with _build_file(storage) as build:
        finished = finished_documents(storage)
        known = _known_documents(storage, build)
        if known == finished.keys():
            return index_path(storage)
        if known is None or not known <= finished.keys():
            build.unlink(missing_ok=True)
        return _publish(storage, build, finished)


def rebuild_index(storage: Storage) -> Path:
    """Make the index from nothing but the artifacts; return its path.

    A damaged index is replaced; raises InputError rather than replace a DuckDB file that is not
    ours, and otherwise like `update_index`.
    """
    with _build_file(storage) as build:
        if build.exists():
            with suppress(DamagedError):  # that is what a rebuild is for
                copied_meta(build, index_path(storage))
            build.unlink()
        return _publish(storage, build, finished_documents(storage))


def _known_documents(storage: Storage, build: Path) -> set[DocumentKey] | None:
    """Return the documents in the copied index, or None if there is nothing to build on."""
    path = index_path(storage)
    if not build.exists():
        return None
    meta = copied_meta(build, path)
    if meta.schema_version > SCHEMA_VERSION:
        raise InputError(
            f"{path}: was made by a newer tokensieve (schema version {meta.schema_version}). Use "
            "that one, or run `tokensieve index --rebuild` to make the index anew with this one."
        )
    if meta[1:] != _own_meta(storage)[1:] or _write_ahead_log(path).exists():
        return None  # older, moved, or written to by somebody
    with connect(build, read_only=True) as connection:
        return _recorded(connection)


def _publish(storage: Storage, build: Path, finished: Finished) -> Path:
    """Add what is missing to the build and swap it in."""
    path = index_path(storage)
    spill = {"temp_directory": str(build.with_suffix(".spill"))}
    with connect(build, BUILD_SETTINGS | spill) as connection:
        _complete(connection, storage, finished)
    build.chmod(0o444)  # a shell that forgets -readonly is refused instead of locking others out
    abort_point("before_index_swap", 0)
    _write_ahead_log(path).unlink(missing_ok=True)  # it belongs to the file that goes
    storage.replace(INDEX_KEY, build)
    abort_point("after_index_swap", 0)
    return path


def _complete(connection: duckdb.DuckDBPyConnection, storage: Storage, finished: Finished) -> None:
    """Bring the open build up to what is finished."""
    connection.begin()  # one commit instead of one for each statement
    if not run(connection, "list_tables").fetchall():
        create_schema(connection)
        meta = _own_meta(storage)
        run(connection, "record_meta", **meta._asdict())
    known = _recorded(connection)
    for number, key in enumerate(key for key in finished if key not in known):
        record_document(connection, storage, key, finished)
        abort_point("after_index_document", number)
    create_views(connection, storage)
    connection.commit()
    run(connection, "close_build")


def _recorded(connection: duckdb.DuckDBPyConnection) -> set[DocumentKey]:
    """Return the documents that the open index holds."""
    return {DocumentKey(*row) for row in run(connection, "list_documents").fetchall()}


def _own_meta(storage: Storage) -> Meta:
    return Meta("tokensieve index", SCHEMA_VERSION, str(storage))


def _write_ahead_log(path: Path) -> Path:
    """Return the name of DuckDB's log; there is one only if somebody wrote to the index."""
    return path.with_name(f"{path.name}.wal")


@contextmanager
def _build_file(storage: Storage) -> Iterator[Path]:
    """Yield the name of a build beside the index, holding a copy of it if there is one.

    One process at a time gets here. Copying needs no lock of DuckDB's, so whoever has the index
    open is not asked. What a killed build left behind is removed.
    """
    storage.probe()
    directory = index_path(storage).parent
    directory.mkdir(exist_ok=True)
    with _build_errors(index_path(storage)), _lock(directory):
        for leftover in directory.glob(f"{_BUILD_PREFIX}*"):
            shutil.rmtree(leftover)
        with tempfile.TemporaryDirectory(prefix=_BUILD_PREFIX, dir=directory) as build_directory:
            build = Path(build_directory, index_path(storage).name)
            if index_path(storage).exists():
                shutil.copyfile(index_path(storage), build)
            yield build


@contextmanager
def _lock(directory: Path) -> Iterator[None]:
    """Hold the lock of the index's builders. The kernel frees it when its process dies."""
    with (directory / ".lock").open("ab") as file:
        deadline = time.monotonic() + LOCK_SECONDS
        while not _locked(file.fileno()):
            if time.monotonic() > deadline:
                raise ResourceError(
                    f"{directory}: another process has been building the index for "
                    f"{LOCK_SECONDS:.0f} s. Wait for it or end it, then run `tokensieve index`."
                )
            time.sleep(0.05)
        yield


def _locked(descriptor: int) -> bool:
    """Return whether the lock could be taken now."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextmanager
def _build_errors(path: Path) -> Iterator[None]:
    """Turn what can go wrong outside our code while building into our errors."""
    try:
        yield
    except duckdb.ConstraintException as error:
        raise DamagedError(
            f"{path}: an artifact does not hold what its COMMIT declares; the index stays as it "
            f"was. {first_line(error)}"
        ) from error
    except (duckdb.ProgrammingError, duckdb.DataError):
        raise  # a statement of ours is wrong
    except (duckdb.Error, OSError) as error:
        if isinstance(error, duckdb.Error) and not _NO_ROOM.search(str(error)):
            raise DamagedError(f"{path}: {first_line(error)} {REBUILD}") from error
        raise ResourceError(
            f"{path}: could not be built, and stays as it was: {first_line(error)} "
            "Free some space or memory, then run `tokensieve index`."
        ) from error
