"""How long it took to make an artifact. For people and statistics: no decision rests on it.

    <kind>/<id>/timings/<token>.json    one for each process that worked on it

They are the only documents of an artifact that hold a time, so that everything else is the same to
the byte however often the work was interrupted.
"""

import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager

from pydantic import BaseModel, ConfigDict

from tokensieve.artifact import Artifact
from tokensieve.documents import parsed, sealed_json


class Timing(BaseModel):
    """What one process did for an artifact."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    seconds: float
    tokens: int
    """Tokens run through a model, or looked at."""
    first_step: int = 1
    """Number of the first optimizer step that it did, if it trained."""
    step_seconds: list[float] = []
    """Seconds of each optimizer step that it did."""

    def publish(self, artifact: Artifact) -> None:
        """Create the timing's document."""
        key = f"{artifact.key}/timings/{secrets.token_hex(8)}.json"
        artifact.storage.create(key, sealed_json(self))


def timings(artifact: Artifact) -> list[Timing]:
    """Return what is known of the making of an artifact; DamagedError if it was edited."""
    storage, place = artifact.storage, f"{artifact.key}/timings"
    keys = [f"{place}/{name}" for name in storage.names(place) if name.endswith(".json")]
    return [parsed(Timing, storage.read(key) or b"", str(storage.path(key))) for key in keys]


@contextmanager
def timed(artifact: Artifact) -> Iterator[None]:
    """Publish how long the block took to make the artifact, if it was finished in it."""
    began = time.monotonic()
    yield
    commit = artifact.committed()
    if commit is not None:
        seconds = round(time.monotonic() - began, 3)
        Timing(seconds=seconds, tokens=commit.totals.get("tokens", 0)).publish(artifact)
