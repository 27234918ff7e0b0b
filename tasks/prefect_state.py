"""Ask Prefect's server what it thinks of flow runs."""

from collections.abc import Iterable
from contextlib import suppress
from uuid import UUID

from httpx import HTTPError, HTTPStatusError
from prefect.client.orchestration import get_client
from prefect.exceptions import ObjectNotFound
from prefect.settings import PREFECT_API_URL

from tokensieve.errors import ServiceError

WAIT_SECONDS = 10.0
"""How long an answer of the server may take."""


def is_configured() -> bool:
    """Return whether a server is named; if not, each run has a temporary one that ends with it."""
    return bool(PREFECT_API_URL.value())


def flow_run_states(flow_runs: Iterable[str]) -> dict[str, str]:
    """Return the state's name, such as COMPLETED, of each flow run that the server knows.

    Raises ServiceError if it does not answer.
    """
    states: dict[str, str] = {}
    try:
        with get_client({"timeout": WAIT_SECONDS}, sync_client=True) as client:
            for flow_run in flow_runs:
                with suppress(ObjectNotFound):  # another server's, most often a temporary one
                    state = client.read_flow_run(UUID(flow_run)).state
                    states[flow_run] = state.type.value if state else "no state"
    except HTTPError as error:
        raise ServiceError(
            f"Prefect at {PREFECT_API_URL.value()} does not answer ({reason_of(error)}), so this "
            "is what the artifacts say. Start it, or unset PREFECT_API_URL."
        ) from error
    return states


def reason_of(error: Exception) -> str:
    """Return in a few words why the server did not answer as it should."""
    if isinstance(error, HTTPStatusError):
        return f"status {error.response.status_code}"
    return type(error).__name__
