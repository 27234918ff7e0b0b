"""Publish the plans of a run, so that status can speak of it before anything is made."""

from collections.abc import Iterable, Sequence

from tokensieve.artifact import Artifact
from tokensieve.planning.room import check_room
from tokensieve.planning.steps import CorpusStep
from tokensieve.runs import Run


def declare_run(
    run: Run, corpora: Iterable[CorpusStep], model_bytes: int, others: Sequence[Artifact] = ()
) -> None:
    """Publish the plans of the run, of its corpora and of what else its rounds or arms share.

    `model_bytes`: what its models will take. Raises ResourceError if the disk has not the room.
    """
    steps = list(corpora)
    artifacts = [*(step.artifact for step in steps), *others]
    storage = artifacts[0].storage
    check_room(storage, sum(step.num_bytes for step in steps), artifacts, model_bytes)
    for artifact in artifacts:
        artifact.declare()
    run.publish(storage)
