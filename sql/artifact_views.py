"""The views of an index: the artifacts' files as tables, joined round by round."""

import duckdb

from sql.statements import create_view, run
from tokensieve.storage import Storage


def create_views(connection: duckdb.DuckDBPyConnection, storage: Storage) -> None:
    """Create or replace every view of the index, from the file lists and rounds it holds."""
    rejected = _create_artifact_views(connection, storage)
    samples = _create_round_views(connection)
    create_view(connection, "samples", views=["artifact.no_samples", *samples])
    create_view(connection, "tokens")
    create_view(connection, "quarantine", views=rejected or ["artifact.no_rejected"])


def _create_artifact_views(connection: duckdb.DuckDBPyConnection, storage: Storage) -> list[str]:
    """Create a view of each artifact's files; return the names of those of rejected rows."""
    rejected: list[str] = []
    for artifact, kind, part, keys in run(connection, "list_artifact_files").fetchall():
        files = [storage.place(key) for key in keys]
        if (kind, part) == ("corpora", "shards"):
            create_view(connection, "corpus", f"corpus_{artifact}", corpus=artifact, files=files)
        elif (kind, part) == ("corpora", "rejected"):
            rejected.append(f"artifact.rejected_{artifact}")
            create_view(
                connection, "rejected", f"rejected_{artifact}", corpus=artifact, files=files
            )
        elif part in ("shards", "decisions"):
            name = kind if part == "shards" else part
            create_view(connection, "parquet", f"{name}_{artifact}", files=files)
    return rejected


def _create_round_views(connection: duckdb.DuckDBPyConnection) -> list[str]:
    """Create a view of each round's samples; return their names."""
    views: list[str] = []
    rounds = run(connection, "list_rounds").fetchall()
    for number, (name, round, corpus, selection, deciding) in enumerate(rounds):
        view = f"samples_{number}"
        create_view(
            connection,
            "round_samples",
            view,
            run=name,
            round=round,
            corpus=corpus,
            samples=f"artifact.corpus_{corpus}",
            selection=f"artifact.selections_{selection}",
        )
        scores = run(connection, "list_round_scores", run=name, round=round).fetchall()
        named = "_\\0"  # DuckDB puts the name of the column there
        more = [(f"{role}{named}", f"artifact.scores_{id}") for role, id in scores]
        more += [("decided", f"artifact.decisions_{deciding}")] if deciding else []
        views.append(f"artifact.{_with_more(connection, view, more)}")
    return views


def _with_more(
    connection: duckdb.DuckDBPyConnection, view: str, more: list[tuple[str, str]]
) -> str:
    """Create views that add columns to the samples of a round; return the last.

    `more`: what the columns are called, and the view that they are in. A view of its own for each,
    so that the statement is the same for any number of them.
    """
    for number, (pattern, added) in enumerate(more):
        wider = f"{view}_{number}"
        create_view(
            connection,
            "round_scores",
            wider,
            pattern=pattern,
            samples=f"artifact.{view}",
            scores=added,
        )
        view = wider
    return view
