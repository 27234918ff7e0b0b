"""What is finished in a workspace, each document by a name that changes with its content."""

from collections.abc import Iterator
from typing import NamedTuple

from tokensieve.documents import content_id
from tokensieve.runs import Arm, FinishedRound, Run, all_runs
from tokensieve.storage import Storage


class DocumentKey(NamedTuple):
    """Names a finished round or arm, and what is in it."""

    run: str
    document: str
    content: str
    """Hash of the document and of what the run was asked for."""


Finished = dict[DocumentKey, tuple[Run, FinishedRound | Arm]]


def finished_documents(storage: Storage) -> Finished:
    """Return every finished round and arm, each after those that it is compared with."""
    finished: Finished = {}
    for run in all_runs(storage):
        asked = content_id(run.model_dump())
        for name, document in _named(storage, run):
            content = content_id({"run": asked, "document": document.model_dump()})
            finished[DocumentKey(run.name, name, content)] = (run, document)
    return finished


def _named(storage: Storage, run: Run) -> Iterator[tuple[str, FinishedRound | Arm]]:
    for finished in run.finished_rounds(storage):
        yield f"round-{finished.round.round:03d}", finished
    for arm in run.finished_arms(storage):
        yield f"arms/{arm.arm}-{arm.seed}", arm
