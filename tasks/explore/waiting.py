"""Questions that take their time, asked in threads: none blocks a page, and none outlives it."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

from starlette.requests import Request

from tokensieve.errors import ResourceError

Answer = TypeVar("Answer")

MAX_WAIT_SECONDS = 10.0
_LOOK_SECONDS, _LAST_SECONDS = 0.1, 1.0


class BusyError(ResourceError):
    """As many questions run already as may run at once."""


class Counter:
    """Where questions queue: a few are asked, the next wait a little, the rest are sent away."""

    def __init__(self, num_at_once: int) -> None:
        """Take how many are asked at once."""
        self._num_at_once = num_at_once
        self._free = asyncio.Semaphore(num_at_once)
        self._asked: set[threading.Event] = set()

    async def ask(self, request: Request, question: Callable[[threading.Event], Answer]) -> Answer:
        """Return the answer to a question, which is told by an event when to give up.

        That is when the page was closed or the server stops. Raises BusyError after
        MAX_WAIT_SECONDS in the queue, and what the question raises.
        """
        await self._wait()
        given_up = threading.Event()
        self._asked.add(given_up)
        job = asyncio.wrap_future(_started(question, given_up))
        job.add_done_callback(lambda job: self._ended(given_up, job))
        watch = asyncio.create_task(_tell_when_left(request, given_up))
        try:
            return await _answer(job, given_up)
        finally:
            watch.cancel()
            given_up.set()

    def give_up(self) -> None:
        """Tell everything that is asked to give up."""
        for given_up in list(self._asked):
            given_up.set()

    def _ended(self, given_up: threading.Event, job: asyncio.Future[Answer]) -> None:
        """Let the next one in: only now, because what hangs takes its place too."""
        self._asked.discard(given_up)
        self._free.release()
        if given_up.is_set() and not job.cancelled():
            job.exception()  # asyncio complains of errors that nobody has looked at

    async def _wait(self) -> None:
        try:
            async with asyncio.timeout(MAX_WAIT_SECONDS):
                await self._free.acquire()
        except TimeoutError:
            raise BusyError(
                f"the query: waited {MAX_WAIT_SECONDS:g} s for others; {self._num_at_once} may run "
                "at once. Ask again when one is done."
            ) from None


def _started(
    question: Callable[[threading.Event], Answer], given_up: threading.Event
) -> Future[Answer]:
    """Return the answer to come. Nobody waits for it when the process ends: a store may hang."""
    job: Future[Answer] = Future()
    job.set_running_or_notify_cancel()

    def answer() -> None:
        try:
            job.set_result(question(given_up))
        except BaseException as error:  # it is for who waits
            job.set_exception(error)

    threading.Thread(target=answer, daemon=True).start()
    return job


async def _answer(job: asyncio.Future[Answer], given_up: threading.Event) -> Answer:
    """Return what the job answers; once it was told to give up, it has a moment for that."""
    while not job.done() and not given_up.is_set():
        await asyncio.wait({job}, timeout=_LOOK_SECONDS)
    await asyncio.wait({job}, timeout=_LAST_SECONDS)
    if not job.done():
        raise BusyError("the query: was given up, and does not end.")
    return job.result()


async def _tell_when_left(request: Request, given_up: threading.Event) -> None:
    """Set the event when the browser waits for the answer no more."""
    while (await request.receive())["type"] != "http.disconnect":
        continue
    given_up.set()
