"""The views of an index: the artifacts' files as tables, joined round by round."""

import duckdb

from sql.statements import create_view, run
from tokensieve.storage import LocalStorage


def create_views(connection: duckdb.DuckDBPyConnection, storage: LocalStorage) -> None:
    """Create or replace every view of the index, from the file lists and rounds it holds."""
    rejected = _create_artifact_views(connection, storage)
    samples = _create_round_views(connection)
    create_view(connection, "samples", views=samples or ["artifact.no_samples"])
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
    for number, (name, round, corpus, base, reference, selection) in enumerate(rounds):
        create_view(
            connection,
            "round_samples",
            f"samples_{number}",
            run=name,
            round=round,
            corpus=corpus,
            samples=f"artifact.corpus_{corpus}",
            base=_scores_view(base),
            reference=_scores_view(reference),
            selection=f"artifact.selections_{selection}",
        )
        views.append(f"artifact.samples_{number}")
    return views


def _scores_view(scores: str | None) -> str:
    return f"artifact.scores_{scores}" if scores else "artifact.no_scores"
