"""How long it took to make an artifact. For people and statistics: no decision rests on it.

    <kind>/<id>/timings/<token>.json    one for each process that worked on it

They are the only documents of an artifact that hold a time, so that everything else is the same to
the byte however often the work was interrupted.
"""

import secrets
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from statistics import fmean

from pydantic import BaseModel, ConfigDict

from tokensieve.artifact import Artifact, summed
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
    return [parsed(Timing, storage.read(key) or b"", storage.place(key)) for key in keys]


def step_seconds(known: Iterable[Timing], num_steps: int) -> list[float | None]:
    """Return the seconds of each optimizer step, None where they are not known.

    A step that a crash made be done again took the mean of its times.
    """
    seconds = defaultdict(list)
    for timing in known:
        for step, each in enumerate(timing.step_seconds, timing.first_step):
            seconds[step].append(each)
    return [fmean(seconds[n]) if n in seconds else None for n in range(1, num_steps + 1)]


@contextmanager
def timed(artifact: Artifact) -> Iterator[None]:
    """Publish how long the block took to make the artifact, if it was finished in it.

    Its tokens are those that were not done before the block, nor by another run beside it. Of what
    is only cut out of another artifact there are none.
    """
    began = time.monotonic()
    before = summed(receipt.counts for receipt in artifact.stated_receipts()).get("tokens", 0)
    yield
    commit = artifact.committed()
    if commit is not None:
        seconds = round(time.monotonic() - began, 3)
        beside = sum(timing.tokens for timing in timings(artifact))
        tokens = commit.totals.get("tokens", 0) - max(before, beside)
        is_cut = "of" in artifact.plan
        Timing(seconds=seconds, tokens=0 if is_cut else tokens).publish(artifact)
