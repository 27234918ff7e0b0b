"""Record what a run was asked for, and the corpora that it made of files."""

import json

import duckdb

from sql.recording.artifacts import Committed, committed, insert, record_artifact
from sql.statements import run
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
        _verify_rejected(corpus)


def _verify_rejected(corpus: Committed) -> None:
    """Check the files that only a view will read."""
    for receipt in corpus.commit.receipts:
        if "rejected" in receipt.files:
            corpus.artifact.read_table(receipt, "rejected", columns=["reason"])
