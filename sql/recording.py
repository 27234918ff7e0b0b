"""Record a finished round in an open index: its artifacts, and the statistics of its tokens."""

import json
from typing import Any

import duckdb
import pyarrow as pa

from sql.staging import Committed, stage_round
from sql.statements import run, run_given
from tokensieve.artifact import Artifact
from tokensieve.errors import DamagedError
from tokensieve.runs import Round, Run, all_runs
from tokensieve.storage import LocalStorage

RoundKey = tuple[str, int, str, str | None, str | None, str]
Finished = dict[RoundKey, tuple[Run, Round]]

_STATISTICS = (
    "record_round_stats",
    "record_source_stats",
    "record_turn_stats",
    "record_sample_stats",
    "record_influence_histogram",
)


def finished_rounds(storage: LocalStorage) -> Finished:
    """Return every finished round of the workspace, by run, round and the ids it names."""
    rounds: Finished = {}
    for run_ in all_runs(storage):
        for round in (finished.round for finished in run_.finished_rounds(storage)):
            base, reference = round.scores.get("base"), round.scores.get("reference")
            key = (run_.name, round.round, round.corpus, base, reference, round.selection)
            rounds[key] = (run_, round)
    return rounds


def record_round(
    connection: duckdb.DuckDBPyConnection, storage: LocalStorage, of_run: Run, round: Round
) -> None:
    """Add one finished round and what it used to the index.

    Every file is verified against its hash before it is read. Raises DamagedError if one is
    missing, changed or not aligned with its corpus, duckdb.ConstraintException if the counts of
    the files are not those of the COMMITs.
    """
    steps = {step: _committed(each) for step, each in round.artifacts(storage).items()}
    for each in steps.values():
        _record_artifact(connection, each)
    _verify_rejected(steps["corpus"])
    _record_vocabulary(connection, steps["corpus"])
    _record_ids(connection, of_run, round)
    stage_round(connection, steps)
    run(connection, "summarise_groups")
    for statement in _STATISTICS:
        run(connection, statement, run=of_run.name, round=round.round)
    run(connection, "record_token_stats", run=of_run.name, round=round.round, corpus=round.corpus)
    run(connection, "drop_staging")


def _committed(artifact: Artifact) -> Committed:
    commit = artifact.committed()
    if commit is None:
        raise DamagedError(
            f"{artifact.storage.root}/{artifact.key}/COMMIT.json: is missing, but a finished round "
            "uses it. Run the same command again to make it anew."
        )
    return Committed(artifact, commit)


def _record_ids(connection: duckdb.DuckDBPyConnection, of_run: Run, round: Round) -> None:
    run(
        connection,
        "record_run",
        run=of_run.name,
        settings=json.dumps(of_run.settings, sort_keys=True),
        inputs=json.dumps(of_run.inputs, sort_keys=True),
        models=json.dumps(of_run.models, sort_keys=True),
    )
    run(
        connection,
        "record_round",
        run=of_run.name,
        round=round.round,
        corpus=round.corpus,
        base_scores=round.scores.get("base"),
        reference_scores=round.scores.get("reference"),
        selection=round.selection,
    )


def _record_artifact(connection: duckdb.DuckDBPyConnection, each: Committed) -> None:
    """Record the artifact's files, counts and duplicates, unless another round did."""
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
    _insert(connection, "record_shards", files)
    _insert(connection, "record_counts", counts)
    _insert(connection, "record_duplicates", duplicates)


def _verify_rejected(corpus: Committed) -> None:
    """Check the files that only a view will read."""
    for receipt in corpus.commit.receipts:
        if "rejected" in receipt.files:
            corpus.artifact.read_table(receipt, "rejected", columns=["reason"])


def _record_vocabulary(connection: duckdb.DuckDBPyConnection, corpus: Committed) -> None:
    receipt = corpus.commit.receipts[0]
    vocabulary = corpus.artifact.read_table(receipt, "vocabulary")
    run_given(connection, "record_vocabulary", vocabulary, corpus=corpus.artifact.id)


def _insert(
    connection: duckdb.DuckDBPyConnection, statement: str, rows: list[dict[str, Any]]
) -> None:
    if rows:
        run_given(connection, statement, pa.Table.from_pylist(rows))
