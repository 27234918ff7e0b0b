"""Run jobs on a pool of warm Ray actors. Retries are decided here and nowhere else."""

import time
from collections import Counter, deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Protocol, Self

import ray
from ray import exceptions

from tokensieve.errors import ServiceError, shortened

MAX_ATTEMPTS = 3
"""How often a job may lose its worker."""
SILENCE_SECONDS = 300.0
"""A worker that does not answer for so long is taken for hung and replaced."""
LAST_SECONDS = 30.0
"""How long Ctrl-C waits for jobs in hand: a shard is done by then, a training has checkpoints."""
START_SECONDS = 1800.0
"""How long a worker may take to give its first answer: nodes may have to be started for it."""

_LOST_WORKER = (
    exceptions.ActorDiedError,
    exceptions.ActorUnavailableError,
    exceptions.GetTimeoutError,
    exceptions.NodeDiedError,
    exceptions.ObjectLostError,
    exceptions.OutOfMemoryError,
    exceptions.WorkerCrashedError,
)


class Worker(Protocol):
    """What a pool needs of a worker: a plain class with these two methods."""

    def run(self, job: Any) -> Any:
        """Do one job; return something small."""
        ...

    def progress(self) -> tuple[int, str]:
        """Return how many units of work were done since the worker began, and a note on the job
        in hand. Called from a thread.
        """
        ...


@dataclass
class _Actor:
    """One actor, what it is doing, and when it was last heard of."""

    handle: Any
    job: Any = None
    answer: Any = None
    poll: Any = None
    units: int = 0
    units_before: int = 0
    """What was done when the job in hand began."""
    note: str = ""
    heard: float = field(default_factory=time.monotonic)
    has_answered: bool = False

    @property
    def is_silent(self) -> bool:
        """Return whether it should have been heard of by now."""
        limit = SILENCE_SECONDS if self.has_answered else START_SECONDS
        return time.monotonic() - self.heard > limit


class WorkerPool:
    """A fixed number of actors of one class. An actor that is lost is replaced."""

    def __init__(
        self, worker: type[Worker], args: tuple[Any, ...], num_workers: int, share: dict[str, Any]
    ) -> None:
        """Keep how to make an actor; they start with the first jobs."""
        # Two threads: one works, the other answers how far the work is.
        self._remote = ray.remote(worker).options(max_restarts=0, max_concurrency=2, **share)
        self._args = args
        self._num_workers = num_workers
        self._actors: list[_Actor] = []
        self._lost_units = 0

    def run(
        self,
        jobs: Iterable[Any],
        on_result: Callable[[Any], None],
        on_tick: Callable[[int, str], None] = lambda units, note: None,
    ) -> None:
        """Do every job once in effect; call on_result with each answer, on_tick every second with
        the units that are done and a note on a job in hand.

        A job whose worker is lost is given to another one, MAX_ATTEMPTS times at most, then
        ServiceError. An error that a job itself raises is raised here. Ctrl-C gives the jobs in
        hand LAST_SECONDS to finish.
        """
        waiting, attempts = deque(jobs), Counter[Any]()
        self._grow(len(waiting))
        before = self._units()
        try:
            while waiting or self._busy():
                self._hand_out(waiting)
                self._collect(waiting, attempts, on_result)
                notes = [actor.note for actor in self._busy()]
                on_tick(self._units() - before, notes[0] if notes else "")
        except KeyboardInterrupt:
            deadline = time.monotonic() + LAST_SECONDS
            while self._busy() and time.monotonic() < deadline:
                self._collect(deque(), attempts, on_result)
            raise
        finally:
            for actor in self._busy():  # after an error: nobody waits for their answers any more
                self._end(actor)

    def rest(self) -> None:
        """End the actors and free what they hold; the next run starts new ones."""
        for actor in list(self._actors):
            self._end(actor)

    def __enter__(self) -> Self:
        """Return the pool, whose actors end with the block."""
        return self

    def __exit__(self, *_: object) -> None:
        """End the actors."""
        self.rest()

    def _end(self, actor: _Actor) -> None:
        ray.kill(actor.handle)
        self._lost_units += actor.units if actor.answer is None else actor.units_before
        self._actors.remove(actor)

    def _grow(self, num_jobs: int) -> None:
        while len(self._actors) < min(self._num_workers, num_jobs):
            self._actors.append(self._new())

    def _new(self) -> _Actor:
        return _Actor(self._remote.remote(*self._args))

    def _busy(self) -> list[_Actor]:
        return [actor for actor in self._actors if actor.answer is not None]

    def _units(self) -> int:
        return self._lost_units + sum(actor.units for actor in self._actors)

    def _hand_out(self, waiting: deque[Any]) -> None:
        for actor in self._actors:
            if waiting and actor.answer is None:
                actor.job = waiting.popleft()
                actor.units_before = actor.units
                actor.answer = actor.handle.run.remote(actor.job)
                actor.heard = time.monotonic()

    def _collect(
        self, waiting: deque[Any], attempts: Counter[Any], on_result: Callable[[Any], None]
    ) -> None:
        busy = self._busy()
        ray.wait([actor.answer for actor in busy], num_returns=1, timeout=1.0)
        for actor in busy:
            self._poll(actor)
            done, _ = ray.wait([actor.answer], timeout=0)
            if done:
                self._settle(actor, waiting, attempts, on_result)
            elif actor.is_silent:
                self._retry(actor, waiting, attempts, "it no longer answered")

    def _poll(self, actor: _Actor) -> None:
        """Ask how far the actor is, without waiting for the answer."""
        if actor.poll is None:
            actor.poll = actor.handle.progress.remote()
        elif ray.wait([actor.poll], timeout=0)[0]:
            with suppress(*_LOST_WORKER):  # its answer says so too, and is dealt with there
                actor.units, actor.note = ray.get(actor.poll, timeout=10)
                actor.heard, actor.has_answered = time.monotonic(), True
            actor.poll = None

    def _settle(
        self,
        actor: _Actor,
        waiting: deque[Any],
        attempts: Counter[Any],
        on_result: Callable[[Any], None],
    ) -> None:
        try:
            result = ray.get(actor.answer, timeout=60)
        except _LOST_WORKER as error:
            last_line = str(error).strip().rpartition("\n")[2]  # what broke its start, if that did
            why = f"{type(error).__name__}: {shortened(last_line, 200)}"
            self._retry(actor, waiting, attempts, why)
        except exceptions.RayTaskError as error:
            actor.answer = None
            raise error.cause from error
        else:
            actor.answer = None
            on_result(result)

    def _retry(self, actor: _Actor, waiting: deque[Any], attempts: Counter[Any], why: str) -> None:
        """Put the actor's job back and a new actor in its place."""
        attempts[actor.job] += 1
        self._end(actor)
        if attempts[actor.job] == MAX_ATTEMPTS:
            raise ServiceError(
                f"{actor.job}: its worker was lost {MAX_ATTEMPTS} times ({why}). Look for memory "
                "or driver errors in Ray's logs; run the same command again to go on from here."
            )
        waiting.appendleft(actor.job)
        self._actors.append(self._new())
