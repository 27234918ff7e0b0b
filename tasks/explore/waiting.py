"""Questions that take their time, asked in threads: none blocks a page, and none outlives it."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from starlette.requests import Request

from tokensieve.errors import ResourceError

Answer = TypeVar("Answer")

MAX_WAIT_SECONDS = 10.0


class BusyError(ResourceError):
    """As many questions run already as may run at once."""


class Counter:
    """Where questions queue: a few are asked, the next wait a little, the rest are sent away."""

    def __init__(self, num_at_once: int) -> None:
        """Take how many are asked at once."""
        self._num_at_once = num_at_once
        self._free = asyncio.Semaphore(num_at_once)
        self._threads = ThreadPoolExecutor(num_at_once)
        self._asked: set[threading.Event] = set()

    async def ask(self, request: Request, question: Callable[[threading.Event], Answer]) -> Answer:
        """Return the answer to a question, which is told by an event when to give up.

        That is when the page was closed or the server stops. Raises BusyError after
        MAX_WAIT_SECONDS in the queue, and what the question raises.
        """
        await self._wait()
        given_up = threading.Event()
        self._asked.add(given_up)
        watch = asyncio.create_task(_tell_when_left(request, given_up))
        try:
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._threads, question, given_up)
        finally:
            watch.cancel()
            given_up.set()
            self._asked.discard(given_up)
            self._free.release()

    def give_up(self) -> None:
        """Tell everything that is asked to give up."""
        for given_up in list(self._asked):
            given_up.set()

    async def _wait(self) -> None:
        try:
            async with asyncio.timeout(MAX_WAIT_SECONDS):
                await self._free.acquire()
        except TimeoutError:
            raise BusyError(
                f"the query: waited {MAX_WAIT_SECONDS:g} s for others; {self._num_at_once} may run "
                "at once. Ask again when one is done."
            ) from None


async def _tell_when_left(request: Request, given_up: threading.Event) -> None:
    """Set the event when the browser waits for the answer no more."""
    while (await request.receive())["type"] != "http.disconnect":
        continue
    given_up.set()
