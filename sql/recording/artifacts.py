"""Record the artifacts that rounds and arms name: their files and counts, and what they cost."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import duckdb
import pyarrow as pa

from sql.statements import run_given
from tokensieve.artifact import Artifact, Commit, load_artifact
from tokensieve.errors import DamagedError
from tokensieve.timings import timings


@dataclass(frozen=True)
class Committed:
    """A finished artifact."""

    artifact: Artifact
    commit: Commit


def committed(artifact: Artifact) -> Committed:
    """Return an artifact that is known to be finished; DamagedError if it is not."""
    commit = artifact.committed()
    if commit is None:
        raise DamagedError(
            f"{artifact.storage.place(artifact.key)}/COMMIT.json: is missing, but a finished round "
            "or arm uses it. Run the same command again to make it anew."
        )
    return Committed(artifact, commit)


def whole_of(artifact: Artifact) -> Artifact:
    """Return the artifact that this one is a part of, or itself."""
    while "of" in artifact.plan:
        artifact = load_artifact(artifact.storage, artifact.kind, artifact.plan["of"])
    return artifact


def cost_of(artifacts: Iterable[Artifact]) -> dict[str, Any]:
    """Return seconds and tokens of making the artifacts, summed as far as they are known."""
    known = [timing for artifact in artifacts for timing in timings(artifact)]
    return {
        "seconds": sum(timing.seconds for timing in known) if known else None,
        "tokens": sum(timing.tokens for timing in known) if known else None,
    }


def record_artifact(connection: duckdb.DuckDBPyConnection, each: Committed) -> None:
    """Record the artifact's files, counts and duplicates, unless another document did."""
    artifact, commit = each.artifact, each.commit
    files = [
        {
            "artifact": artifact.id,
            "kind": artifact.kind,
            "shard": receipt.shard,
            "part": part,
            "file": file.key,
            "bytes": file.num_bytes,
            "num_rows": file.num_rows,
            "sha256": file.sha256,
        }
        for receipt in commit.receipts
        for part, file in receipt.files.items()
    ]
    counts = [{"artifact": artifact.id, "name": k, "value": v} for k, v in commit.totals.items()]
    duplicates = [
        {"corpus": artifact.id, "shard": int(shard), "shard_row": row}
        for shard, rows in commit.notes.get("duplicates", {}).items()
        for row in rows
    ]
    insert(connection, "record_shards", files)
    insert(connection, "record_counts", counts)
    insert(connection, "record_duplicates", duplicates)


def insert(
    connection: duckdb.DuckDBPyConnection, statement: str, rows: Sequence[Mapping[str, Any]]
) -> None:
    """Execute a statement whose `given` is these rows, all of the same columns."""
    if rows:
        run_given(connection, statement, pa.Table.from_pylist(list(rows)))
