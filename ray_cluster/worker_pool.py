"""Run jobs on a pool of warm Ray actors. Retries are decided here and nowhere else."""

import time
from collections import Counter, deque
from collections.abc import Callable, Iterable
from typing import Any, Protocol, Self

import ray

from ray_cluster.pool_actor import LOST_WORKER, START_SECONDS, PoolActor
from tokensieve.errors import ServiceError, shortened

MAX_ATTEMPTS = 3
"""How often a job may lose its worker, and how often in a row a worker may fail to start."""
LAST_SECONDS = 30.0
"""How long Ctrl-C waits for jobs in hand: a shard is done by then, a training has checkpoints."""


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
        self._actors: list[PoolActor] = []
        self._failed_starts = 0
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
        ServiceError; so it is if no worker can be started. An error that a job itself raises is
        raised here. Ctrl-C gives the jobs in hand LAST_SECONDS to finish.
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

    def _end(self, actor: PoolActor) -> None:
        ray.kill(actor.handle)
        self._lost_units += actor.lost_units
        self._actors.remove(actor)

    def _grow(self, num_jobs: int) -> None:
        while len(self._actors) < min(self._num_workers, num_jobs):
            self._actors.append(self._new())

    def _new(self) -> PoolActor:
        return PoolActor(self._remote.remote(*self._args))

    def _busy(self) -> list[PoolActor]:
        return [actor for actor in self._actors if actor.is_busy]

    def _units(self) -> int:
        return self._lost_units + sum(actor.units for actor in self._actors)

    def _hand_out(self, waiting: deque[Any]) -> None:
        for actor in self._actors:
            if waiting and actor.has_started and not actor.is_busy:
                actor.give(waiting.popleft())

    def _collect(
        self, waiting: deque[Any], attempts: Counter[Any], on_result: Callable[[Any], None]
    ) -> None:
        """Wait a second at most for news of an actor, then look at each that is to have some."""
        awaited = [answer for actor in self._actors for answer in actor.awaited]
        ray.wait(awaited, num_returns=1, timeout=1.0)
        for actor in list(self._actors):
            if not actor.has_started:
                self._await_start(actor)
            elif actor.is_busy:
                actor.listen()
                if ray.wait([actor.answer], timeout=0)[0]:
                    self._settle(actor, waiting, attempts, on_result)
                elif actor.is_silent:
                    self._retry(actor, waiting, attempts, "it no longer answered")

    def _await_start(self, actor: PoolActor) -> None:
        """Hear whether the actor has started, and put a new one in its place if it cannot."""
        try:
            actor.listen()
        except LOST_WORKER as error:
            self._failed_starts += 1
            if self._failed_starts == MAX_ATTEMPTS:
                raise ServiceError(
                    f"A worker was lost {MAX_ATTEMPTS} times when it started ({_why(error)}). Look "
                    "for memory or driver errors in Ray's logs; run the same command again to go "
                    "on from here."
                ) from error
            self._replace(actor)
        if actor.has_started:
            self._failed_starts = 0
        elif actor.is_silent and not any(other.has_started for other in self._actors):
            raise ServiceError(
                f"No worker started in {START_SECONDS / 60:g} minutes. See whether the cluster has "
                "room for one (`ray status`), and run the same command again."
            )

    def _settle(
        self,
        actor: PoolActor,
        waiting: deque[Any],
        attempts: Counter[Any],
        on_result: Callable[[Any], None],
    ) -> None:
        try:
            result = actor.result()
        except LOST_WORKER as error:
            self._retry(actor, waiting, attempts, _why(error))
        else:
            on_result(result)

    def _retry(
        self, actor: PoolActor, waiting: deque[Any], attempts: Counter[Any], why: str
    ) -> None:
        """Put the actor's job back and a new actor in its place."""
        attempts[actor.job] += 1
        self._replace(actor)
        if attempts[actor.job] == MAX_ATTEMPTS:
            raise ServiceError(
                f"{actor.job}: its worker was lost {MAX_ATTEMPTS} times ({why}). Look for memory "
                "or driver errors in Ray's logs; run the same command again to go on from here."
            )
        waiting.appendleft(actor.job)

    def _replace(self, actor: PoolActor) -> None:
        self._end(actor)
        self._actors.append(self._new())


def _why(error: BaseException) -> str:
    """Return what Ray says of a lost worker: its last line is what broke its start, if that did."""
    last_line = str(error).strip().rpartition("\n")[2]
    return f"{type(error).__name__}: {shortened(last_line, 200)}"
