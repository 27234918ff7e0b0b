"""What an index holds, as plain values."""

from pathlib import Path
from typing import Any

import duckdb

from sql import connect_published
from tokensieve.storage import LocalStorage


def rows(storage: LocalStorage, statement: str) -> list[tuple[Any, ...]]:
    """Return what one statement finds in the published index."""
    with connect_published(storage) as connection:
        return connection.execute(statement).fetchall()


def index_content(path: Path) -> dict[str, list[tuple[Any, ...]]]:
    """Return every row of every table and view, in a fixed order."""
    with duckdb.connect(str(path), read_only=True) as connection:
        names = connection.execute(
            "SELECT schema_name || '.' || name FROM (SELECT schema_name, table_name AS name FROM"
            " duckdb_tables() UNION ALL SELECT schema_name, view_name FROM duckdb_views()"
            " WHERE NOT internal) ORDER BY ALL"
        ).fetchall()
        return {
            name: sorted(connection.execute(f"FROM {name}").fetchall(), key=repr)
            for (name,) in names
        }
