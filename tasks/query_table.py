"""The answer to a query as people read it: a table, or record by record where none would fit."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import zip_longest

import pyarrow as pa
from rich.cells import cell_len, set_cell_size

from sql.query import QueryResult
from tasks.cells import cell, is_number, rows_of
from tokensieve.visible_text import visible

_LEAST_TEXT = 12
"""Characters of a text that are shown at least."""
_BETWEEN = "  "
_SHORT = 4
"""Digits that are read at a glance."""
_WHOLE = re.compile(r"-?[0-9]+")
_WORD = re.compile(r"[^_]*_?")


@dataclass(frozen=True)
class _Column:
    heading: str
    cells: list[str]
    is_number: bool

    @property
    def natural(self) -> int:
        return max(cell_len(self.heading), self.widest)

    @property
    def widest(self) -> int:
        """Width of the widest cell."""
        return max(map(cell_len, self.cells), default=0)

    @property
    def least(self) -> int:
        """Width with which it can still be read: a number that is cut is another number."""
        words = max(map(cell_len, _WORD.findall(self.heading)))
        return max(words, self.widest if self.is_number else min(self.widest, _LEAST_TEXT))


def answer_table(result: QueryResult, width: int) -> str:
    """Return the rows as a table at most `width` wide, or one below the other."""
    columns = _columns(result)
    widths = _fitted(columns, width - len(_BETWEEN) * (len(columns) - 1))
    lines = _records(columns) if widths is None else _table(columns, widths)
    num_rows = result.table.num_rows
    end = f"showing {num_rows} of more rows" if result.truncated else f"rows: {num_rows}"
    return "".join(f"{line.rstrip()}\n" for line in [*lines, "", end])


def _columns(result: QueryResult) -> list[_Column]:
    cells = [[cell(value) for value in row] for row in rows_of(result)]
    columns = []
    types = result.table.schema.types
    for number, (name, type) in enumerate(zip(result.columns, types, strict=True)):
        texts = [row[number] for row in cells]
        is_count = pa.types.is_int64(type) or pa.types.is_decimal(type)  # of 32 bits are ids
        shown = _grouped(texts) if is_count else texts
        columns.append(_Column(visible(name), shown, is_number(type)))
    return columns


def _grouped(texts: list[str]) -> list[str]:
    """Return whole numbers in groups of three digits, if one of them is long."""
    if max(map(len, texts), default=0) <= _SHORT:
        return texts
    return [f"{int(text):,}" if _WHOLE.fullmatch(text) else text for text in texts]


def _fitted(columns: list[_Column], room: int) -> list[int] | None:
    """Return how wide each column is, the widest ones cut first; None if there is no room."""
    widths = [column.natural for column in columns]
    least = [column.least for column in columns]
    while sum(widths) > room:
        wider = [number for number in range(len(columns)) if widths[number] > least[number]]
        if not wider:
            return None
        widths[max(wider, key=lambda number: widths[number])] -= 1
    return widths


def _table(columns: list[_Column], widths: list[int]) -> list[str]:
    headings = [
        reversed(_folded(column.heading, width))
        for column, width in zip(columns, widths, strict=True)
    ]
    above = [_line(columns, widths, row) for row in zip_longest(*headings, fillvalue="")]
    rule = "─" * (sum(widths) + len(_BETWEEN) * (len(widths) - 1))
    rows = zip(*(column.cells for column in columns), strict=True)
    return [*reversed(above), rule, *(_line(columns, widths, row) for row in rows)]


def _line(columns: list[_Column], widths: list[int], cells: Iterable[str]) -> str:
    """Return one line of the table: numbers to the right, texts to the left and cut."""
    placed = []
    for column, width, text in zip(columns, widths, cells, strict=True):
        room = width - cell_len(text)
        if room < 0:
            placed.append(f"{set_cell_size(text, width - 1)}…")
        else:
            placed.append(" " * room + text if column.is_number else text + " " * room)
    return _BETWEEN.join(placed)


def _folded(heading: str, width: int) -> list[str]:
    """Return the lines of a heading, each at most `width` wide, broken behind underscores."""
    lines = [""]
    for word in _WORD.findall(heading):
        if cell_len(lines[-1] + word) > width:
            lines.append("")
        lines[-1] += word
    return lines


def _records(columns: list[_Column]) -> list[str]:
    """Return each row as lines of name and value, uncut."""
    names = max(cell_len(column.heading) for column in columns)
    lines = []
    for number in range(len(columns[0].cells)):
        lines += ["", f"row {number + 1}"] if number else ["row 1"]
        for column in columns:
            lines.append(f"  {set_cell_size(column.heading, names)}  {column.cells[number]}")
    return lines
