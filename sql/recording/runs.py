"""Record what a run was asked for, and the corpora that it made of files."""

import json

import duckdb
import pyarrow as pa

from sql.recording.artifacts import Committed, committed, insert, record_artifact
from sql.statements import run, run_given
from tokensieve.artifact import load_artifact
from tokensieve.runs import Run
from tokensieve.storage import Storage


def record_run(connection: duckdb.DuckDBPyConnection, storage: Storage, of_run: Run) -> None:
    """Add the run and its corpora to the index, unless it is there."""
    if run(connection, "find_run", run=of_run.name).fetchall():
        return
    row = {
        "run": of_run.name,
        "flow": of_run.flow,
        "num_rounds": of_run.num_rounds,
        "settings": json.dumps(of_run.settings, sort_keys=True),
        "inputs": json.dumps(of_run.inputs, sort_keys=True),
        "models": json.dumps(of_run.models, sort_keys=True),
    }
    insert(connection, "record_run", [row])
    corpora = [
        {"run": of_run.name, "role": role, "corpus": id} for role, id in of_run.corpora.items()
    ]
    insert(connection, "record_run_corpora", corpora)
    for id in of_run.corpora.values():
        corpus = committed(load_artifact(storage, "corpora", id))
        record_artifact(connection, corpus)
        _record_rejected(connection, corpus)


def _record_rejected(connection: duckdb.DuckDBPyConnection, corpus: Committed) -> None:
    """Count the rows that became no sample; their files are verified, and a view reads them."""
    tables = [
        corpus.artifact.read_table(receipt, "rejected", columns=["source", "outcome", "reason"])
        for receipt in corpus.commit.receipts
        if "rejected" in receipt.files
    ]
    if tables:
        rejected = pa.concat_tables(tables)
        run_given(connection, "record_rejected_stats", rejected, corpus=corpus.artifact.id)
