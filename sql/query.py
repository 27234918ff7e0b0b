"""Ad-hoc SQL over the published index, in a connection that can do nothing else.

The index is opened read-only, everything outside the artifacts is shut off inside DuckDB, and one
statement that reads is run, up to a number of rows, seconds and bytes. This protects users from
accidents and from surprising files; a database is no sandbox for hostile SQL.
"""

import json
import re
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pyarrow as pa

from sql.limits import within_limits
from sql.published import NO_ROOM, REBUILD, connect_published
from sql.statements import Settings, Value, run
from tokensieve.artifact import KINDS
from tokensieve.errors import DamagedError, ResourceError, SettingsError
from tokensieve.storage import Storage

Values = dict[str, Value]

QUERY_SETTINGS: Settings = {
    "memory_limit": "2GB",
    "threads": 2,  # a question must not take the machine from a run
    "errors_as_json": "true",  # for the position
}
_FLAGS = {
    "python_enable_replacements": "false",
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "allow_community_extensions": "false",
    "allow_persistent_secrets": "false",
    "enable_external_access": "false",
    "lock_configuration": "true",
}
_EXPLAIN = re.compile(
    r"\s*EXPLAIN\b(\s+ANALYZE\b)?(\s*\(\s*(ANALYZE|FORMAT)\b[^()]*\))?", re.IGNORECASE
)
_CHECK = "EXPLAIN "
_WRONG_STATEMENT = (
    duckdb.ProgrammingError,
    duckdb.DataError,
    duckdb.NotSupportedError,
    duckdb.PermissionException,
)
_NO_ACCESS = "Cannot access file"  # DuckDB has one class for all that is locked
_MOVED = (
    ". A question reads the artifacts of this workspace and nothing else. If the workspace lay "
    "elsewhere when its index was made, `tokensieve index` makes it anew for this place."
)


@dataclass(frozen=True)
class QueryResult:
    """The answer to a query."""

    table: pa.Table
    truncated: bool
    """Whether there are more rows than were asked for."""

    @property
    def columns(self) -> list[str]:
        """Return the names of the columns."""
        return list(self.table.column_names)


def query(
    storage: Storage,
    statement: str,
    *,
    max_rows: int,
    max_seconds: float,
    values: Mapping[str, Value] | None = None,
    given_up: threading.Event | None = None,
) -> QueryResult:
    """Return the first `max_rows` rows of one SELECT, EXPLAIN, DESCRIBE or SHOW over the index.

    `values` are those of its parameters, which it names as $name. Raises SettingsError with line
    and column for a statement that is wrong or does more than read, and what `limited` raises.
    """
    with limited(storage, max_seconds, given_up) as connection:
        return _read(connection, statement, dict(values or {}), max_rows)


@contextmanager
def limited(
    storage: Storage, max_seconds: float, given_up: threading.Event | None = None
) -> Iterator[duckdb.DuckDBPyConnection]:
    """Yield a connection to the published index that reads the artifacts and nothing else.

    Raises ResourceError when the block takes longer than `max_seconds`, more memory or disk than
    allowed, or `given_up` is set, DamagedError for a file that cannot be read, and what
    `connect_published` raises.
    """
    with tempfile.TemporaryDirectory(prefix="tokensieve-query-") as spill:
        settings = {**QUERY_SETTINGS, "temp_directory": spill}
        with connect_published(storage, settings) as connection:
            lock_down(connection, storage)
            watched = within_limits(connection, Path(spill), max_seconds, given_up)
            with watched, _query_errors(""):
                yield connection


def _read(
    connection: duckdb.DuckDBPyConnection, statement: str, values: Values, max_rows: int
) -> QueryResult:
    with _query_errors(statement, shift=0):
        _check(connection, statement, values)
    with _query_errors(statement):
        found = connection.sql(statement, params=values)
        table = found.limit(max_rows + 1).to_arrow_table()
    return QueryResult(table.slice(0, max_rows), truncated=table.num_rows > max_rows)


def lock_down(connection: duckdb.DuckDBPyConnection, storage: Storage) -> None:
    """Shut everything off but the artifacts, for good, and see that DuckDB took it."""
    directories = [f"{storage.place(kind)}/" for kind in KINDS]
    run(connection, "allow_directories", directories=directories)
    run(connection, "refuse_external_access")
    run(connection, "lock_configuration")
    found = dict(run(connection, "read_settings", names=list(_FLAGS)).fetchall())
    if found != _FLAGS:
        raise SettingsError(f"DuckDB {duckdb.__version__} did not take {_FLAGS}: {found}")


def _check(connection: duckdb.DuckDBPyConnection, statement: str, values: Values) -> None:
    """Raise SettingsError unless this is one statement that reads, duckdb.Error if it is wrong.

    EXPLAIN ANALYZE runs what it explains, a COPY too; so what is explained has to be a SELECT.
    """
    if any("\ud800" <= character <= "\udfff" for character in statement):
        raise SettingsError("the query: is not UTF-8")
    found, body = connection.extract_statements(statement), statement
    if len(found) == 1 and found[0].type == duckdb.StatementType.EXPLAIN:
        explain = _EXPLAIN.match(statement)
        body = statement[explain.end() :] if explain else statement
        found = connection.extract_statements(body)
    if len(found) != 1:
        raise SettingsError(f"the query: holds {len(found) or 'no'} statements; give exactly one")
    if found[0].type != duckdb.StatementType.SELECT:
        raise SettingsError(
            f"the query: {found[0].type.name} is refused; a query only reads: SELECT, DESCRIBE, "
            "SHOW, or EXPLAIN and a SELECT"
        )
    checked = _CHECK + body  # binds the names without running, and tells where they stand
    with _query_errors(statement, shift=len(statement.encode()) - len(checked.encode())):
        connection.execute(checked, values)


@contextmanager
def _query_errors(statement: str, shift: int | None = None) -> Iterator[None]:
    """Turn DuckDB's errors into ours.

    `shift` leads from DuckDB's byte positions to those of `statement`; None: they mean nothing.
    """
    try:
        yield
    except duckdb.InterruptException:
        raise
    except duckdb.OutOfMemoryException as error:
        raise ResourceError(
            f"the query: needs more than {QUERY_SETTINGS['memory_limit']} of memory at once "
            f"({_parts(error)[0]}). Ask for less: name run and round, or aggregate."
        ) from None
    except _WRONG_STATEMENT as error:
        message, position = _parts(error)
        advice = _MOVED if _NO_ACCESS in message else ""
        raise SettingsError(
            f"the query{_place(statement, position, shift)}: {message}{advice}"
        ) from None
    except duckdb.Error as error:
        if NO_ROOM.search(str(error)):
            raise ResourceError(
                f"the query: has no room for what does not fit into memory: {_parts(error)[0]}. "
                "Free some space, set TMPDIR to a larger disk, or ask for less."
            ) from None
        raise DamagedError(
            f"the query: a file could not be read: {_parts(error)[0]}. If it is an artifact's, run "
            f"the command that made it again; if it is the index: {REBUILD}"
        ) from None


def _parts(error: duckdb.Error) -> tuple[str, int | None]:
    """Return DuckDB's message on one line, and the byte position it speaks of, if any."""
    kind, _, text = str(error).partition(": ")
    if not text.startswith("{"):  # some errors do not come as JSON
        return " ".join(f"{kind}: {text}".split()), None
    details = json.loads(text)
    position = details.get("position")
    message, _, _ = details["exception_message"].partition("\nPossible solutions")
    return " ".join(message.split()), position and int(position)


def _place(statement: str, position: int | None, shift: int | None) -> str:
    """Return `:line:column` of a byte position, both from 1."""
    if position is None or shift is None:
        return ""
    before = statement.encode()[: position + shift].decode(errors="ignore")
    return f":{before.count(chr(10)) + 1}:{len(before) - before.rfind(chr(10))}"
