"""The box for questions: what was asked, the answer as a table, and a chart where one fits."""

import time
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from threading import Event
from typing import Any

import pyarrow as pa

from sql.named_answers import run_named
from sql.query import QueryResult
from tasks.asking import asked_query
from tasks.cells import cell, is_number, rows_of
from tokensieve.charts import bars_chart, line_chart
from tokensieve.storage import Storage
from tokensieve.visible_text import visible

MAX_ROWS = 500
MAX_SECONDS = 60.0


@dataclass(frozen=True)
class Cell:
    """One value of an answer."""

    text: str
    is_number: bool
    sample: str | None
    """Of a sample's id: itself."""


@dataclass(frozen=True)
class Answer:
    """The answer to a question, as its page shows it."""

    columns: Sequence[tuple[str, bool]]
    """Name of each, and whether it holds numbers."""
    rows: Sequence[Sequence[Cell]]
    places: Sequence[str | None]
    """The round of each row, as RUN:ROUND; None where the answer does not say."""
    truncated: bool
    seconds: float
    values: Mapping[str, str]
    """What the parameters were."""
    chart: str | None
    """As the address of an image."""
    chart_text: str


def answer_question(storage: Storage, statement: str, given_up: Event) -> Answer:
    """Return the answer to one statement, or to the query of that name.

    Raises SettingsError for a wrong statement, and what `query` raises.
    """
    began = time.monotonic()
    asked = asked_query(statement, [])
    found = run_named(
        storage, asked, {}, max_rows=MAX_ROWS, max_seconds=MAX_SECONDS, given_up=given_up
    )
    seconds = time.monotonic() - began
    result = found.result
    numeric = [is_number(type) for type in result.table.schema.types]
    chart, chart_text = _chart(result, numeric)
    return Answer(
        columns=list(zip(result.columns, numeric, strict=True)),
        rows=[_cells(result.columns, numeric, row) for row in rows_of(result)],
        places=_places(result, found.values),
        truncated=result.truncated,
        seconds=seconds,
        values={name: cell(value) for name, value in found.values.items()},
        chart=chart,
        chart_text=chart_text,
    )


def _cells(columns: Sequence[str], numeric: Sequence[bool], row: Sequence[Any]) -> list[Cell]:
    return [
        Cell(cell(value), number, value if _is_sample(name, value) else None)
        for name, number, value in zip(columns, numeric, row, strict=True)
    ]


def _is_sample(column: str, value: object) -> bool:
    return column == "sample_id" and isinstance(value, str)


def _places(result: QueryResult, values: Mapping[str, Any]) -> list[str | None]:
    """Return the round that each row speaks of: by its columns, else by the query's parameters."""
    rows = result.table.num_rows
    told = {name: [values.get(name)] * rows for name in ("run", "round")}
    for name in told:
        if name in result.columns:
            told[name] = result.table[name].to_pylist()
    return [
        f"{run}:{round}" if isinstance(run, str) and isinstance(round, int) else None
        for run, round in zip(told["run"], told["round"], strict=True)
    ]


def _chart(result: QueryResult, numeric: Sequence[bool]) -> tuple[str | None, str]:
    """Return a chart of an answer of two columns and what it shows: bars for a text and a number, a
    line for two numbers; None for all others."""
    types = result.table.schema.types
    if len(types) != 2 or not result.table.num_rows or not numeric[1]:
        return None, ""
    names = [visible(name) for name in result.columns]
    first, second = (column.to_pylist() for column in result.table.columns)
    numbers = [_float(value) for value in second]
    if numeric[0]:
        svg = line_chart([_float(value) for value in first], numbers, (names[0], names[1]), "svg")
        return _image(svg), f"Line of {names[1]} over {names[0]}"
    if pa.types.is_string(types[0]) or pa.types.is_large_string(types[0]):
        svg = bars_chart([cell(value) for value in first], numbers, names[1], "svg")
        return _image(svg), f"Bars of {names[1]} by {names[0]}"
    return None, ""


def _float(value: Any) -> float:
    return float("nan") if value is None else float(value)


def _image(svg: bytes) -> str:
    return f"data:image/svg+xml;base64,{b64encode(svg).decode()}"
