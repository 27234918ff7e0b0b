"""Build and publish the index: aside, from the artifacts, and swapped in whole.

The published file is never opened for writing. So an open shell never stops a run, a run never
stops a shell, and a crash leaves the index that stood before. Whoever is overtaken by a builder
elsewhere builds again, on top of what that one has published.
"""

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import duckdb

from sql.artifact_views import create_views
from sql.published import (
    INDEX_KEY,
    NO_ROOM,
    REBUILD,
    SCHEMA_VERSION,
    Meta,
    copied_meta,
    first_line,
    index_place,
)
from sql.recording import DocumentKey, Finished, finished_documents, record_document
from sql.statements import connect, create_schema, run
from sql.stored_files import stored_files
from tokensieve.artifact import abort_point
from tokensieve.errors import ConflictError, DamagedError, InputError, ResourceError
from tokensieve.storage import Storage

BUILD_SETTINGS: dict[str, str | int] = {
    "memory_limit": "2GB",  # beyond it DuckDB spills beside the build
    "threads": 1,  # sums of floats depend on the order: the same rounds give the same numbers
    "storage_compatibility_version": "v1.0.0",  # so that the shell of any DuckDB 1.x reads it
}
MAX_BUILDS = 20
"""How often a builder lets itself be overtaken."""

_LOG_KEY = f"{INDEX_KEY}.wal"
"""DuckDB's log; there is one only if somebody wrote to the index."""


def update_index(storage: Storage) -> str:
    """Add every finished round and arm that the published index lacks; return the index's place.

    An index of an older schema, or of a workspace that was moved or lost some, is made anew.
    Raises InputError for a file that is not ours or is newer, DamagedError for a damaged index or
    artifact, ResourceError if disk, memory or the wait for another build runs out.
    """
    return _published(storage, _update)


def rebuild_index(storage: Storage) -> str:
    """Make the index from nothing but the artifacts; return its place.

    A damaged index is replaced; raises InputError rather than replace a DuckDB file that is not
    ours, and otherwise like `update_index`.
    """
    return _published(storage, _rebuild)


def _published(storage: Storage, make: Callable[[Storage, Path], bool]) -> str:
    """Let `make` bring a copy of the index up to date, and swap it in; return its place.

    `make` says whether it did anything. Only on a disk does the lock reach every builder.
    """
    storage.probe()
    place = index_place(storage)
    with _build_errors(place), storage.lock(INDEX_KEY):
        for _ in range(MAX_BUILDS):
            if _attempt(storage, make):
                return place
    raise ConflictError(
        f"{place}: was replaced {MAX_BUILDS} times while it was being built here. Wait until "
        "other runs are done, then run `tokensieve index`."
    )


def _attempt(storage: Storage, make: Callable[[Storage, Path], bool]) -> bool:
    """Build in view of what is published; return whether that was still so when done."""
    with storage.scratch() as scratch:
        build, version = scratch / Path(INDEX_KEY).name, storage.version(INDEX_KEY)
        if not make(storage, build):
            return True
        build.chmod(0o444)  # a shell that forgets -readonly is refused instead of locking others
        abort_point("before_index_swap", 0)
        storage.remove(_LOG_KEY)  # it belongs to the file that goes
        is_swapped = storage.replace_version(INDEX_KEY, build, version)
        abort_point("after_index_swap", 0)
        return is_swapped


def _update(storage: Storage, build: Path) -> bool:
    """Build on a copy of what is published; return False if nothing was missing there."""
    with suppress(FileNotFoundError):
        _copy(storage, build)
    finished = finished_documents(storage)
    known = _known_documents(storage, build)
    if known == finished.keys():
        return False
    if known is None or not known <= finished.keys():
        build.unlink(missing_ok=True)
    _build(storage, build, finished)
    return True


def _rebuild(storage: Storage, build: Path) -> bool:
    """Build from nothing, unless what is published is not ours; return True."""
    with suppress(FileNotFoundError, DamagedError):  # that is what a rebuild is for
        _copy(storage, build)
        copied_meta(build, index_place(storage))
    build.unlink(missing_ok=True)
    _build(storage, build, finished_documents(storage))
    return True


def _copy(storage: Storage, build: Path) -> None:
    """Copy what is published. That needs no lock of DuckDB's: whoever has it open is not asked."""
    shutil.copyfile(storage.local(INDEX_KEY), build)


def _known_documents(storage: Storage, build: Path) -> set[DocumentKey] | None:
    """Return the documents in the copied index, or None if there is nothing to build on."""
    if not build.exists():
        return None
    place = index_place(storage)
    meta = copied_meta(build, place)
    if meta.schema_version > SCHEMA_VERSION:
        raise InputError(
            f"{place}: was made by a newer tokensieve (schema version {meta.schema_version}). Use "
            "that one, or run `tokensieve index --rebuild` to make the index anew with this one."
        )
    if meta[1:] != _own_meta(storage)[1:] or storage.exists(_LOG_KEY):
        return None  # older, moved, or written to by somebody
    with connect(build, read_only=True) as connection:
        return _recorded(connection)


def _build(storage: Storage, build: Path, finished: Finished) -> None:
    """Bring the build up to what is finished, and close it."""
    spill = {"temp_directory": str(build.with_suffix(".spill"))}
    with connect(build, BUILD_SETTINGS | spill) as connection:
        _complete(connection, storage, finished)


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
    with stored_files(connection, storage):
        create_views(connection, storage)
    connection.commit()
    run(connection, "close_build")


def _recorded(connection: duckdb.DuckDBPyConnection) -> set[DocumentKey]:
    """Return the documents that the open index holds."""
    return {DocumentKey(*row) for row in run(connection, "list_documents").fetchall()}


def _own_meta(storage: Storage) -> Meta:
    return Meta("tokensieve index", SCHEMA_VERSION, str(storage))


@contextmanager
def _build_errors(place: str) -> Iterator[None]:
    """Turn what can go wrong outside our code while building into our errors."""
    try:
        yield
    except duckdb.ConstraintException as error:
        raise DamagedError(
            f"{place}: an artifact does not hold what its COMMIT declares; the index stays as it "
            f"was. {first_line(error)}"
        ) from error
    except (duckdb.ProgrammingError, duckdb.DataError):
        raise  # a statement of ours is wrong
    except (duckdb.Error, OSError) as error:
        if isinstance(error, duckdb.Error) and not NO_ROOM.search(str(error)):
            raise DamagedError(f"{place}: {first_line(error)} {REBUILD}") from error
        raise ResourceError(
            f"{place}: could not be built, and stays as it was: {first_line(error)} "
            "Free some space or memory, then run `tokensieve index`."
        ) from error
