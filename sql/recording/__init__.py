"""Record what is finished in an open index, document by document.

finished.py    the finished rounds and arms of a workspace
runs.py        what a run was asked for
rounds.py      a round: its artifacts, and the statistics of its tokens
reading.py     what is said of its tokens, shard by shard
staging.py     its tokens, added up in temporary tables
trainings.py   a model: how it was trained
arms.py        an arm of a comparison
artifacts.py   any artifact: its files and counts, and what it cost
"""

import duckdb

from sql.recording.arms import record_arm
from sql.recording.finished import DocumentKey, Finished, finished_documents
from sql.recording.rounds import record_round
from sql.recording.runs import record_run
from sql.statements import run
from tokensieve.runs import Arm
from tokensieve.storage import Storage

__all__ = ["DocumentKey", "Finished", "finished_documents", "record_document"]


def record_document(
    connection: duckdb.DuckDBPyConnection,
    storage: Storage,
    key: DocumentKey,
    finished: Finished,
) -> None:
    """Add one finished round or arm, and what it used, to the index.

    Every file is verified against its hash before it is read. Raises DamagedError if one is
    missing, changed or not aligned with its corpus, duckdb.ConstraintException if the counts of
    the files are not those of the COMMITs.
    """
    of_run, document = finished[key]
    record_run(connection, storage, of_run)
    if isinstance(document, Arm):
        record_arm(connection, storage, of_run, document)
    else:
        record_round(connection, storage, of_run, document)
    run(connection, "record_document", **key._asdict())
