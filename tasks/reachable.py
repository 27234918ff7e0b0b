"""Say in our own words that Prefect's server does not answer."""

from collections.abc import Iterator
from contextlib import contextmanager

from httpx import TransportError
from prefect.settings import PREFECT_API_URL

from tokensieve.errors import ServiceError


@contextmanager
def reporting_prefect() -> Iterator[None]:
    """Raise ServiceError where the server is not there, or is lost on the way."""
    try:
        yield
    except TransportError as error:
        raise ServiceError(
            f"Prefect at {PREFECT_API_URL.value() or 'its temporary server'} does not answer "
            f"({type(error).__name__}). Start it or unset PREFECT_API_URL, then run the same "
            "command again; what was finished is kept."
        ) from error
