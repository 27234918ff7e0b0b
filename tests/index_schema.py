"""What an index holds, column by column, as the schema itself says it."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from sql.index import update_index
from tests.reading import rows
from tokensieve.storage import LocalStorage

SQL = Path(__file__).resolve().parents[1] / "sql"
_BEGIN = re.compile(r"CREATE (?:TABLE|OR REPLACE VIEW) (?:artifact\.)?(\w+)")
_STAND_INS = {"samples": ["no_samples"], "tokens": ["no_samples"], "quarantine": ["no_rejected"]}
"""Where the schema says what the columns are that a view takes from artifacts."""
_COLUMNS = """
    SELECT table_name, list((column_name, data_type) ORDER BY column_index) FROM duckdb_columns()
    WHERE schema_name = 'main' AND NOT internal GROUP BY table_name
"""
_KEYS = """
    SELECT table_name, constraint_column_names FROM duckdb_constraints()
    WHERE schema_name = 'main' AND constraint_type IN ('PRIMARY KEY', 'UNIQUE')
"""


@dataclass(frozen=True)
class Column:
    """A column, and what the schema says of it; "" where it says nothing."""

    name: str
    type: str
    meaning: str


@dataclass(frozen=True)
class Table:
    """A table, or a view, which has no key."""

    name: str
    about: str
    columns: list[Column]
    key: list[str]


def index_tables() -> list[Table]:
    """Return the tables in the order of the schema, then the views."""
    with TemporaryDirectory() as directory:
        storage = LocalStorage(Path(directory))
        update_index(storage)
        columns, keys = dict(rows(storage, _COLUMNS)), dict(rows(storage, _KEYS))
    said = dict(_said())
    return [
        Table(
            name,
            said[name][0],
            [Column(column, type, _meaning(said, name, column)) for column, type in columns[name]],
            keys.get(name, []),
        )
        for name in said
        if name in columns
    ]


def _meaning(said: dict[str, tuple[str, dict[str, str]]], table: str, column: str) -> str:
    places = [table, *_STAND_INS.get(table, [])]
    return next((said[place][1][column] for place in places if column in said[place][1]), "")


def _said() -> Iterator[tuple[str, tuple[str, dict[str, str]]]]:
    """Yield what the statements say of each table and view, and of each of its columns."""
    for file in [*sorted(SQL.glob("schema/*.sql")), *sorted(SQL.glob("views/*.sql"))]:
        comments: list[str] = []
        table = ""
        for line in file.read_text().splitlines():
            code, _, comment = (part.strip() for part in line.partition("--"))
            begun = _BEGIN.match(code)
            if begun:
                table, about = begun[1], " ".join(comments).split(" In: $")[0]
                of_columns: dict[str, str] = {}
                yield table, (about, of_columns)
            if not code:
                comments = [*comments, comment] if comment else []
            elif table and comment and not comment.startswith("noqa"):
                of_columns[_column(code)] = comment


def _column(code: str) -> str:
    """Return the name of the column that a line of CREATE TABLE defines, or of a view selects."""
    code = code.rstrip(",")
    defined = re.match(r"(\w+) [A-Z]", code)
    return defined[1] if defined else re.split(r"\W", code)[-1]
