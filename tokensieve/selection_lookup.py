"""Which selection a name means."""

import re
from difflib import get_close_matches
from pathlib import Path

from tokensieve.artifact import Artifact, load_artifact
from tokensieve.drops import read_log
from tokensieve.errors import SettingsError, shortened
from tokensieve.runs import load_run
from tokensieve.storage import Storage

ARTIFACT_ID = re.compile("[0-9a-f]{16}")


def find_selection(storage: Storage, name: str) -> Artifact:
    """Return the finished selection of this id, of this path, or of this run's last round.

    Raises SettingsError if there is none, or if alarms hold it back.
    """
    id = Path(name).name if Path(name).parent.name == "selections" else name
    if not ARTIFACT_ID.fullmatch(id):
        id = _last_selection(storage, name)
    if not storage.exists(f"selections/{id}/COMMIT.json"):
        raise SettingsError(
            f"{storage}: there is no finished selection {shortened(name)}. Give the id below "
            "selections/, or the name of a finished run; `tokensieve status` shows both."
        )
    _check_not_held(storage, id)
    return load_artifact(storage, "selections", id)


def _check_not_held(storage: Storage, id: str) -> None:
    log = read_log(storage)
    held = [visit for visit in log.held.values() if visit.selection == id]
    if held and not any(visit.selection == id for visit in log.usable):
        raise SettingsError(
            f"{storage}: the selection {id} of the drop {held[0].drop} is held: "
            f"{shortened(held[0].alarms[0], 200)}. Look at it; `tokensieve approve {held[0].drop}` "
            "releases it."
        )


def _last_selection(storage: Storage, name: str) -> str:
    names = storage.names("runs")
    run = load_run(storage, name) if name in names else None
    finished = run.finished_rounds(storage) if run else []
    if finished:
        return finished[-1].round.selection
    if run is not None:
        kind = "is a comparison" if run.flow == "compare" else "has no finished round yet"
        raise SettingsError(
            f"{storage}: the run {name} {kind}. Give the id of a selection; `tokensieve "
            "status` shows them."
        )
    near = get_close_matches(name, names, n=1)
    hint = f"Did you mean {near[0]}?" if near else "`tokensieve status` shows those that are there."
    raise SettingsError(
        f"{storage}: there is no selection and no run with a finished round called "
        f"{shortened(name)}. {hint}"
    )
