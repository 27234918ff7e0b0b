"""Tell where a drop is unlike those before it: in the terminal, Prefect's UI and an event."""

import sys
from collections.abc import Sequence
from typing import Any

from prefect import task
from prefect.artifacts import create_table_artifact
from prefect.cache_policies import NO_CACHE
from prefect.events import emit_event
from rich.console import Console

from sql.drift import read_figures
from tokensieve.drift import Alarm, find_alarms
from tokensieve.errors import InputError, shortened
from tokensieve.settings import DriftSettings
from tokensieve.storage import Storage

DRIFTED = "tokensieve.drop.drifted"
"""Name of the event; its resource is `tokensieve.run.<name>`."""
MAX_ALARMS = 50
"""Alarms that are told one by one; all are counted."""


@task(name="check-drift", task_run_name="check-drift", cache_policy=NO_CACHE)
def check_drift(
    storage: Storage, run_name: str, earlier_runs: Sequence[str], limits: DriftSettings
) -> tuple[Alarm, ...]:
    """Return what is not as it should be with the drop that a run cleaned, and tell everybody.

    `earlier_runs` cleaned the drops before it in the same way, with the same models. Raises
    InputError if the index lacks the run.
    """
    figures = read_figures(storage, [*earlier_runs, run_name])
    if run_name not in figures:
        raise InputError(
            f"{storage.place('index')}: does not hold run {shortened(run_name)}. Run `tokensieve "
            "index`, then the same command again."
        )
    found = figures.pop(run_name)
    num_missing = len({*earlier_runs} - {run_name} - figures.keys())
    if num_missing:
        print(
            f"drift: {num_missing} of {len(earlier_runs)} earlier drops are not in the index, and "
            "are compared with nothing",
            file=sys.stderr,
        )
    alarms = find_alarms(found, list(figures.values()), limits)
    if alarms:
        _tell(run_name, alarms)
    return alarms


def _tell(run_name: str, alarms: Sequence[Alarm]) -> None:
    """Show the alarms in red, as a table in the Prefect UI, and as an event for automations."""
    told = alarms[:MAX_ALARMS]
    lines = [alarm.text for alarm in told]
    if len(alarms) > MAX_ALARMS:
        lines.append(f"and {len(alarms) - MAX_ALARMS} more")
    console = Console(stderr=True, highlight=False, markup=False)
    for line in lines:
        console.print(f"drift: {line}", style="red", soft_wrap=True)
    create_table_artifact([_row(alarm) for alarm in told], key="drift", description=run_name)
    emit_event(
        DRIFTED,
        resource={"prefect.resource.id": f"tokensieve.run.{run_name}"},
        payload={
            "run": run_name,
            "num_alarms": len(alarms),
            "alarms": [_row(alarm) for alarm in told],
        },
    )


def _row(alarm: Alarm) -> dict[str, Any]:
    """Return the alarm as JSON. Names of sources are data, so they are shortened."""
    return {
        "kind": alarm.kind,
        "source": None if alarm.source is None else shortened(alarm.source),
        "found": alarm.found,
        "usual": alarm.usual,
        "limit": alarm.limit,
    }
