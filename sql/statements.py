"""Connections to DuckDB, and the statements: one per file, run by file name."""

import re
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

Value = str | int | float | list[str] | None
Settings = Mapping[str, str | int]
Literal = str | int | list[str]

_COMMENT = re.compile(r"--.*")
_PLACEHOLDER = re.compile(r"\$(\w+)")
_NAME = re.compile(r"[a-z][a-z0-9_]*")
_ALWAYS = {
    "python_enable_replacements": False,  # else a table that is missing is any Python variable
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
    "allow_community_extensions": False,
    "allow_persistent_secrets": False,
}


def connect(
    database: Path, settings: Settings | None = None, read_only: bool = False
) -> duckdb.DuckDBPyConnection:
    """Return a connection with DuckDB's convenient but unsafe defaults off, and `settings` set."""
    config: dict[str, str | bool | int | float | list[str]] = {**_ALWAYS, **(settings or {})}
    if not read_only:
        return duckdb.connect(str(database), config=config)
    connection = duckdb.connect(config=config)
    try:
        _attach(connection, database)
    except duckdb.Error:
        connection.close()
        raise
    return connection


def _attach(connection: duckdb.DuckDBPyConnection, database: Path) -> None:
    """Let an empty database read the file, and speak of it as its own.

    In one process DuckDB opens a path once: whoever opens it again shares settings with the first,
    and is shown what the first one sees after another file has taken the place.
    """
    run(connection, "attach_index", file=str(database))
    run(connection, "use_index")


def run(
    connection: duckdb.DuckDBPyConnection, query: str, **parameters: Value
) -> duckdb.DuckDBPyConnection:
    """Execute queries/<query>.sql with its named parameters ($name in the file)."""
    return connection.execute(_text("queries", query), parameters)


def rows(answer: duckdb.DuckDBPyConnection) -> list[dict[str, Any]]:
    """Return the rows of an answer of `run`, each by column name."""
    names = [column[0] for column in answer.description or ()]
    return [dict(zip(names, row, strict=True)) for row in answer.fetchall()]


def arrow_table(connection: duckdb.DuckDBPyConnection, query: str, **parameters: Value) -> pa.Table:
    """Return the answer to queries/<query>.sql, with its named parameters, as Arrow."""
    return connection.sql(_text("queries", query), params=parameters).to_arrow_table()


def run_given(
    connection: duckdb.DuckDBPyConnection, statement: str, given: pa.Table, **parameters: Value
) -> None:
    """Execute queries/<statement>.sql, which reads the Arrow table once, as `given`.

    A stream that lets go of what was read: DuckDB holds what is registered until its commit.
    """
    batches = iter(given.to_batches())
    connection.register("given", pa.RecordBatchReader.from_batches(given.schema, batches))
    run(connection, statement, **parameters)
    connection.unregister("given")


def create_schema(connection: duckdb.DuckDBPyConnection) -> None:
    """Execute schema/*.sql in the order of their numbers."""
    scripts = files("sql").joinpath("schema").iterdir()
    for script in sorted(scripts, key=lambda script: script.name):
        connection.execute(script.read_text(encoding="utf-8"))


def create_view(
    connection: duckdb.DuckDBPyConnection, file: str, view: str = "", **values: Literal
) -> None:
    """Execute views/<file>.sql with its values written into it; $view is the name to create.

    DuckDB takes no parameters in CREATE VIEW. `view` is a name made by our code; everything else,
    paths and run names above all, becomes a quoted literal.
    """
    assert not view or _NAME.fullmatch(view), f"not a name of ours: {view!r}"
    written = {name: _literal(value) for name, value in values.items()}
    written["view"] = f"artifact.{view}"
    bare = _COMMENT.sub("", _text("views", file))  # a path's line end would leave a comment
    connection.execute(_PLACEHOLDER.sub(lambda match: written[match[1]], bare))


def _literal(value: Literal) -> str:
    """Return `value` as SQL."""
    if isinstance(value, int):
        return str(value)
    if isinstance(value, list):
        return f"[{', '.join(_literal(each) for each in value)}]"
    return "'" + value.replace("'", "''") + "'"


def _text(folder: str, name: str) -> str:
    return files("sql").joinpath(folder, f"{name}.sql").read_text(encoding="utf-8")
