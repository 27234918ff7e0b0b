"""Ask Prefect's server what it thinks of a flow run."""

from uuid import UUID

from prefect.client.orchestration import get_client
from prefect.exceptions import ObjectNotFound


def flow_run_state(flow_run: str) -> str:
    """Return the state's name, such as COMPLETED; "nothing" if the server does not know it."""
    with get_client(sync_client=True) as client:
        try:
            state = client.read_flow_run(UUID(flow_run)).state
        except ObjectNotFound:
            return "nothing"
    return state.type.value if state else "nothing"
