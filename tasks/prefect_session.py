"""Reach Prefect's server before any work is done, and say in our own words if it is not there."""

import os
import re
import secrets
import signal
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
from prefect.client.orchestration import get_client
from prefect.settings import (
    PREFECT_API_AUTH_STRING,
    PREFECT_API_URL,
    PREFECT_SERVER_API_AUTH_STRING,
    PREFECT_SERVER_API_CORS_ALLOWED_ORIGINS,
    temporary_settings,
)

from tokensieve.errors import ServiceError

_SECONDS = 10.0
_UNREACHABLE = re.compile("reach API|connect to ephemeral Prefect API")


@contextmanager
def prefect_session() -> Iterator[None]:
    """Run the block with a server that answers: the configured one, or Prefect's temporary one.

    Raises ServiceError where it is not there, or is lost on the way.
    """
    url = PREFECT_API_URL.value()
    try:
        with _configured_server(url) if url else _temporary_server():
            yield
    except httpx.TransportError as error:
        raise _lost(url, error) from error
    except RuntimeError as error:
        if not _UNREACHABLE.search(str(error)):  # Prefect raises nothing more exact
            raise
        raise _lost(url, error) from error


@contextmanager
def _configured_server(url: str) -> Iterator[None]:
    httpx.get(f"{url}/health", timeout=_SECONDS)
    yield


@contextmanager
def _temporary_server() -> Iterator[None]:
    """Run the block with a server that has a password of its own, known to this process alone.

    Without one, other users of the machine and web pages in a browser on it could ask it, and write
    into the database that it shares with a lasting server of this user.
    """
    password = f"tokensieve:{secrets.token_hex(32)}"
    settings = {
        PREFECT_API_AUTH_STRING: password,
        PREFECT_SERVER_API_AUTH_STRING: password,
        PREFECT_SERVER_API_CORS_ALLOWED_ORIGINS: "http://127.0.0.1",
    }
    with temporary_settings(settings):
        _start_temporary_server()
        yield


def _start_temporary_server() -> None:
    """Start it now, out of reach of Ctrl-C: the run must be able to tell it how it ended.

    A terminal sends SIGINT to every process of a command, and a blocked signal stays blocked in the
    processes that are started meanwhile; so does the mask that keeps others from what they write.
    """
    mask = os.umask(0o077)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        with get_client(sync_client=True):
            pass
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
        os.umask(mask)


def _lost(url: str | None, error: Exception) -> ServiceError:
    return ServiceError(
        f"Prefect at {url or 'its temporary server'} does not answer ({type(error).__name__}). "
        "Start it or unset PREFECT_API_URL, then run the same command again; what was finished is "
        "kept."
    )
