"""One Ray actor of a pool: what it is doing, and when it was last heard of."""

import time
from dataclasses import dataclass, field
from typing import Any

import ray
from ray import exceptions

SILENCE_SECONDS = 300.0
"""A worker that does not answer for so long is taken for hung and replaced."""
START_SECONDS = 1800.0
"""How long a worker may take to give its first answer: nodes may have to be started for it."""

LOST_WORKER = (
    exceptions.ActorDiedError,
    exceptions.ActorUnavailableError,
    exceptions.GetTimeoutError,
    exceptions.NodeDiedError,
    exceptions.ObjectLostError,
    exceptions.OutOfMemoryError,
    exceptions.WorkerCrashedError,
)
"""What Ray raises for an actor that is gone; nothing says whether its job was done."""


@dataclass(eq=False)
class PoolActor:
    """One actor. It gets jobs once it has started: one that waits for room on a cluster that has
    become smaller would keep its job from those that run.
    """

    handle: Any
    job: Any = None
    answer: Any = None
    poll: Any = None
    units: int = 0
    units_before: int = 0
    """What was done when the job in hand began."""
    note: str = ""
    heard: float = field(default_factory=time.monotonic)
    has_started: bool = False

    def __post_init__(self) -> None:
        """Ask it for its first answer."""
        self._ask()

    @property
    def is_busy(self) -> bool:
        """Return whether it has a job in hand."""
        return self.answer is not None

    @property
    def is_silent(self) -> bool:
        """Return whether it should have been heard of by now."""
        limit = SILENCE_SECONDS if self.has_started else START_SECONDS
        return time.monotonic() - self.heard > limit

    @property
    def awaited(self) -> list[Any]:
        """Return what a pool has to wait for: the answer, or that it starts."""
        if self.is_busy:
            return [self.answer]
        return [] if self.has_started else [self.poll]

    @property
    def lost_units(self) -> int:
        """Return what remains done of its work if it ends now."""
        return self.units_before if self.is_busy else self.units

    def give(self, job: Any) -> None:
        """Have it do a job."""
        self.job, self.units_before = job, self.units
        self.answer = self.handle.run.remote(job)
        self.heard = time.monotonic()

    def listen(self) -> None:
        """Hear how far it is, without waiting for the answer; raise one of LOST_WORKER if it cannot
        start. Of a job in hand the answer will say so.
        """
        if self.poll is None:
            return self._ask()
        if not ray.wait([self.poll], timeout=0)[0]:
            return None
        poll, self.poll = self.poll, None
        try:
            self.units, self.note = ray.get(poll, timeout=10)
        except LOST_WORKER:
            if not self.has_started:
                raise
        else:
            self.heard, self.has_started = time.monotonic(), True

    def result(self) -> Any:
        """Return what the job returned, and be free for the next; raise what the job raised, or one
        of LOST_WORKER.
        """
        try:
            result = ray.get(self.answer, timeout=60)
        except exceptions.RayTaskError as error:
            self.answer = None
            raise error.cause from error
        self.answer = None
        return result

    def _ask(self) -> None:
        self.poll = self.handle.progress.remote()
