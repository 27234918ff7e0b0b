"""Reach Prefect's server before any work is done, and say in our own words if it is not there."""

import re
import signal
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
from prefect.client.orchestration import get_client
from prefect.settings import PREFECT_API_URL

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
        if url:
            httpx.get(f"{url}/health", timeout=_SECONDS)
        else:
            _start_temporary_server()
        yield
    except httpx.TransportError as error:
        raise _lost(url, error) from error
    except RuntimeError as error:
        if not _UNREACHABLE.search(str(error)):  # Prefect raises nothing more exact
            raise
        raise _lost(url, error) from error


def _start_temporary_server() -> None:
    """Start it now, out of reach of Ctrl-C: the run must be able to tell it how it ended.

    A terminal sends SIGINT to every process of a command, and a blocked signal stays blocked in the
    processes that are started meanwhile.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        with get_client(sync_client=True):
            pass
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})


def _lost(url: str | None, error: Exception) -> ServiceError:
    return ServiceError(
        f"Prefect at {url or 'its temporary server'} does not answer ({type(error).__name__}). "
        "Start it or unset PREFECT_API_URL, then run the same command again; what was finished is "
        "kept."
    )
