"""The views of an index: the artifacts' files as tables, joined round by round."""

import duckdb

from sql.statements import create_view, run
from tokensieve.storage import LocalStorage


def create_views(connection: duckdb.DuckDBPyConnection, storage: LocalStorage) -> None:
    """Create or replace every view of the index, from the file lists and rounds it holds."""
    rejected = _create_artifact_views(connection, storage)
    samples = _create_round_views(connection)
    create_view(connection, "samples", views=["artifact.no_samples", *samples])
    create_view(connection, "tokens")
    create_view(connection, "quarantine", views=rejected or ["artifact.no_rejected"])


def _create_artifact_views(
    connection: duckdb.DuckDBPyConnection, storage: LocalStorage
) -> list[str]:
    """Create a view of each artifact's files; return the names of those of rejected rows."""
    rejected: list[str] = []
    root = storage.root.absolute()
    for artifact, kind, part, keys in run(connection, "list_artifact_files").fetchall():
        files = [str(root / key) for key in keys]
        if (kind, part) == ("corpora", "shards"):
            create_view(connection, "corpus", f"corpus_{artifact}", corpus=artifact, files=files)
        elif (kind, part) == ("corpora", "rejected"):
            rejected.append(f"artifact.rejected_{artifact}")
            create_view(
                connection, "rejected", f"rejected_{artifact}", corpus=artifact, files=files
            )
        elif part == "shards":
            create_view(connection, "parquet", f"{kind}_{artifact}", files=files)
    return rejected


def _create_round_views(connection: duckdb.DuckDBPyConnection) -> list[str]:
    """Create a view of each round's samples; return their names."""
    views: list[str] = []
    rounds = run(connection, "list_rounds").fetchall()
    for number, (name, round, corpus, selection) in enumerate(rounds):
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
        views.append(f"artifact.{_with_scores(connection, view, scores)}")
    return views


def _with_scores(
    connection: duckdb.DuckDBPyConnection, view: str, scores: list[tuple[str, str]]
) -> str:
    """Create views that add the scores, role by role, to the samples of a round; return the last.

    A view of its own for each role, so that the statement is the same for any number of them.
    """
    for number, (role, id) in enumerate(scores):
        wider = f"{view}_{number}"
        create_view(
            connection,
            "round_scores",
            wider,
            pattern=f"{role}_\\0",  # DuckDB puts the name of the column there
            samples=f"artifact.{view}",
            scores=f"artifact.scores_{id}",
        )
        view = wider
    return view
