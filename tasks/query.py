"""Show the answer to a query: a table for people, CSV for sheets, JSON and Parquet exact."""

import csv
import io
import json
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import pyarrow as pa
import pyarrow.parquet as pq

from sql.named_answers import run_named
from sql.named_queries import NamedQuery
from sql.query import QueryResult
from tasks.cells import cell, exact, plain_text, rows_of
from tasks.output import replaced
from tasks.query_table import answer_table
from tokensieve.errors import SettingsError
from tokensieve.storage import Storage
from tokensieve.visible_text import visible

Format = Literal["table", "csv", "json"]

TABLE_ROWS = 100
MAX_ROWS = 1_000_000
MAX_SECONDS = 300.0
FILE_WIDTH = 200
"""Characters of a line of a table in a file."""

_FORMULA = ("=", "+", "-", "@")


def answer(
    storage: Storage,
    asked: NamedQuery,
    given: Mapping[str, str],
    format: Literal["table", "csv", "json", "parquet"],
    output: Path | None,
) -> None:
    """Answer a query, with the values `given` for its parameters; print it or write to `output`.

    What the parameters were is said on stderr. Raises SettingsError for a wrong statement or
    value, ResourceError beyond a limit.
    """
    if format == "parquet" and output is None:
        raise SettingsError("--output: is missing; Parquet is not for a terminal")
    max_rows = TABLE_ROWS if format == "table" else MAX_ROWS
    answered = run_named(storage, asked, given, max_rows=max_rows, max_seconds=MAX_SECONDS)
    result = answered.result
    if answered.values:
        values = ", ".join(f"{name} = {cell(each)}" for name, each in answered.values.items())
        print(f"{visible(asked.name)}: {values}", file=sys.stderr)
    if result.truncated and format != "table":
        print(f"only the first {max_rows} rows; there are more", file=sys.stderr)
    if output is None and format != "parquet":
        print(format_result(result, format, shutil.get_terminal_size().columns), end="")
    elif output is not None:
        _write(result, format, output)


def _write(result: QueryResult, format: Format | Literal["parquet"], path: Path) -> None:
    if format == "parquet":
        write_parquet(result, path)
        return
    with replaced(path) as partial:
        partial.write_text(format_result(result, format, FILE_WIDTH), encoding="utf-8")


def format_result(result: QueryResult, format: Format, width: int) -> str:
    """Return the rows as text: a table at most `width` wide, CSV, or JSON.

    Characters that a terminal would obey are shown instead. Only JSON holds every value exactly.
    """
    if format == "json":
        return _as_json(result)
    return _as_csv(result) if format == "csv" else answer_table(result, width)


def write_parquet(result: QueryResult, path: Path) -> None:
    """Write the rows to `path`, replacing it whole.

    Raises SettingsError for a type that Parquet does not have, ResourceError if it cannot be
    written.
    """
    with replaced(path) as partial:
        try:
            pq.write_table(result.table, partial)
        except (pa.ArrowNotImplementedError, pa.ArrowInvalid) as error:
            raise SettingsError(f"{path}: {error}. Cast the column to a type it has.") from None


def _as_csv(result: QueryResult) -> str:
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow([_guarded(name) for name in result.columns])
    for row in rows_of(result):
        writer.writerow([_guarded(v) if isinstance(v, str) else _csv_value(v) for v in row])
    return file.getvalue()


def _guarded(text: str) -> str:
    """Return text that a sheet does not take for a formula."""
    text = visible(text)
    return f"'{text}" if text.startswith(_FORMULA) else text


def _csv_value(value: object) -> str:
    return "" if value is None else visible(plain_text(value))


def _as_json(result: QueryResult) -> str:
    """Return a list of one object per row and line, in ASCII; NaN and infinities are text."""
    rows = (dict(zip(result.columns, map(exact, row), strict=True)) for row in rows_of(result))
    lines = (json.dumps(row, ensure_ascii=True, allow_nan=False) for row in rows)
    return "[" + ",\n ".join(lines) + "]\n"
