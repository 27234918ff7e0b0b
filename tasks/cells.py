"""What an answer holds, value by value, as tables, sheets and files show it."""

import json
import math
from datetime import date, time
from decimal import Decimal
from typing import Any

import pyarrow as pa

from sql.query import QueryResult
from tokensieve.visible_text import visible

MAX_CELL = 200
"""Characters of a cell that a table shows."""


def rows_of(result: QueryResult) -> list[tuple[Any, ...]]:
    """Return the rows as Python values. By position: two columns may have one name."""
    columns = [column.to_pylist() for column in result.table.columns]
    return list(zip(*columns, strict=True))


def cell(value: object) -> str:
    """Return a value as a table shows it."""
    if value is None:
        return "NULL"
    text = f"{value:.6g}" if isinstance(value, float) else visible(plain_text(value))
    return text if len(text) <= MAX_CELL else f"{text[: MAX_CELL - 1]}…"


def is_number(type: pa.DataType) -> bool:
    """Return whether a column of this type holds numbers."""
    return bool(
        pa.types.is_integer(type) or pa.types.is_floating(type) or pa.types.is_decimal(type)
    )


def plain_text(value: object) -> str:
    """Return a value as text, lists and structs as JSON."""
    if isinstance(value, str):
        return value
    found = exact(value)
    return found if isinstance(found, str) else json.dumps(found, ensure_ascii=False)


def exact(value: object) -> Any:
    """Return a value as JSON has it, without losing a digit."""
    if isinstance(value, dict):
        return {str(key): exact(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [exact(each) for each in value]
    return _exact_scalar(value)


def _exact_scalar(value: object) -> bool | int | float | str | None:
    if value is None or isinstance(value, str | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, Decimal):  # DuckDB's 128-bit integers arrive as decimals without a point
        return str(value) if value.as_tuple().exponent else int(value)
    if isinstance(value, bytes):
        return value.hex()
    return value.isoformat() if isinstance(value, date | time) else str(value)
