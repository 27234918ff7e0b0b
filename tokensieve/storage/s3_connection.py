"""How a store that speaks S3 is asked: one session in each process, and patience.

s3fs finds credentials and holds the session. Every repetition of a request is decided here: those
of s3fs and of botocore would multiply.
"""

import asyncio
import logging
import os
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeVar

from fsspec.asyn import sync
from s3fs import S3FileSystem

from tokensieve.settings.groups import S3Settings
from tokensieve.storage.cache import SLOWEST_RATE
from tokensieve.storage.s3_errors import STORE_ERRORS, explained, is_expired, is_passing

PATIENCE = 60.0
"""Seconds for which a request is repeated before the run ends."""

_FIRST_WAIT, _LONGEST_WAIT = 0.2, 10.0
_CONNECT_SECONDS, _READ_SECONDS = 5.0, 20.0
_WHOLE_SECONDS = 300.0
"""For a request and its answer, both whole: nothing else notices a peer that stops reading. What a
large one sends has its own time on top."""
_WIRE_LOGGERS = ("aiobotocore", "botocore", "fsspec", "s3fs", "urllib3")
_CREDENTIALS_LOGGERS = ("aiobotocore.credentials", "botocore.credentials")
_LOG = logging.getLogger(__name__)

Answer = TypeVar("Answer")
Request = Callable[[Any], Awaitable[Answer]]
"""Asks a client, which is replaced when credentials are, once."""


@dataclass(frozen=True)
class S3Connection:
    """How a store is reached, and for how long it is waited for: a recipe without secrets."""

    settings: S3Settings
    patience: float = PATIENCE

    def wait_for(self, work: Callable[[], Awaitable[Answer]]) -> Answer:
        """Return what the coroutine function returns, run where the session lives."""
        answer: Answer = sync(self.filesystem().loop, work)
        return answer

    async def ask(
        self, request: Request[Answer], place: str, action: str, num_bytes: int = 0
    ) -> Answer:
        """Return the answer to `request`, a function of the client, repeated while it may succeed.

        `place` and `action` are named in the error: ServiceError if the store did not recover in
        time, SettingsError if it refuses, ResourceError if this machine's clock is wrong. A request
        that sends `num_bytes` has the time that they take on a slow line.
        """
        began, attempt, is_stale, renewed = time.monotonic(), 0, False, False
        while True:
            try:
                async with asyncio.timeout(_WHOLE_SECONDS + num_bytes / SLOWEST_RATE):
                    client = await self.filesystem().set_session(refresh=is_stale)
                    is_stale = False
                    return await request(client)
            except STORE_ERRORS as error:
                attempt, passed = attempt + 1, time.monotonic() - began
                wait = random.uniform(0.5, 1) * min(_FIRST_WAIT * 2**attempt, _LONGEST_WAIT)
                if is_expired(error) and not renewed:
                    is_stale = renewed = True
                elif is_passing(error) and passed + wait < self.patience:
                    _LOG.info("%s: %s: attempt %d failed: %r", place, action, attempt, error)
                    await asyncio.sleep(wait)
                else:
                    raise explained(error, place, action, passed) from None

    def filesystem(self) -> S3FileSystem:
        """Return this process's session with the store."""
        return _filesystem(self, os.getpid())


@cache
def _filesystem(connection: S3Connection, process: int) -> S3FileSystem:
    """Return a session of the process, in which no listing is remembered."""
    settings = connection.settings
    patience = connection.patience
    filesystem = S3FileSystem(
        profile=settings.profile,
        endpoint_url=settings.endpoint,
        client_kwargs={"region_name": settings.region or os.environ.get("AWS_REGION")},
        config_kwargs={
            "connect_timeout": min(_CONNECT_SECONDS, patience),
            "read_timeout": min(_READ_SECONDS, patience),
            "retries": {"total_max_attempts": 1},
        },
        skip_instance_cache=True,
        use_listings_cache=False,
    )
    filesystem.retries = 1
    _keep_quiet()
    return filesystem


def _keep_quiet() -> None:
    """Let no logger write out requests, which hold signatures and tokens, or what helpers say."""
    levels = dict.fromkeys(_WIRE_LOGGERS, logging.INFO)
    levels |= dict.fromkeys(_CREDENTIALS_LOGGERS, logging.ERROR)
    for name, level in levels.items():
        logger = logging.getLogger(name)
        logger.setLevel(max(logger.level, level))
