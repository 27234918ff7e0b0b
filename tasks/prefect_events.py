"""Send an event to Prefect, and know that it has arrived."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from httpx import HTTPError
from prefect.client.orchestration import get_client
from prefect.events import Event, emit_event
from prefect.settings import PREFECT_API_URL

from tasks.prefect_state import WAIT_SECONDS, is_configured, reason_of
from tokensieve.errors import ServiceError


def send_event(
    event: str, resource: dict[str, str], related: Mapping[str, str], payload: dict[str, Any]
) -> None:
    """Send an event; `related`: ids of other resources, by role.

    Raises ServiceError unless the configured server has taken it. Without one it goes to that of
    this run, with which it ends: nothing can wait for it there.
    """
    others = [
        {"prefect.resource.id": id, "prefect.resource.role": role} for role, id in related.items()
    ]
    if not is_configured():
        emit_event(event, resource=resource, related=others, payload=payload)
        return
    fields = {"event": event, "resource": resource, "related": others, "payload": payload}
    _post(Event.model_validate({"occurred": datetime.now(UTC), **fields}))


def _post(event: Event) -> None:
    """Prefect's own way puts events into a queue, and swallows what goes wrong with it."""
    try:
        with get_client({"timeout": WAIT_SECONDS}, sync_client=True) as client:
            client.request("POST", "/events", json=[event.model_dump(mode="json")])
    except (HTTPError, RuntimeError) as error:
        raise ServiceError(
            f"Prefect at {PREFECT_API_URL.value()} did not take the event {event.event} "
            f"({reason_of(error)}). Whoever waits for it was not told: start the server, then run "
            "the same command again; what was finished is kept."
        ) from error
