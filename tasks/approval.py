"""Tell which drops wait for somebody, and release what alarms held back."""

from collections import Counter
from collections.abc import Iterable, Iterator
from difflib import get_close_matches

from tokensieve.drops import (
    Log,
    Look,
    State,
    Visit,
    looks,
    note_looks,
    num_held_too,
    read_log,
    release,
)
from tokensieve.errors import SettingsError, shortened
from tokensieve.storage import Storage


def approve_drop(storage: Storage, drop: str) -> str:
    """Release what is held of a drop; return what may be used now, with its alarms.

    What has samples that may be used already stays held: of several cleanings of a drop that grew,
    the last is released. Raises SettingsError if there is nothing to release, ServiceError if a
    configured server does not hear of it, before it is released.
    """
    log = read_log(storage)
    held = {number: visit for number, visit in log.held.items() if visit.drop == drop}
    if not held:
        raise _not_held(storage, log, drop)
    usable, told, refused = log.usable, [], []
    for number, visit in reversed(held.items()):
        why = _why_kept_back(storage, visit, usable)
        if why:
            refused.append(why)
            continue
        _release(storage, number, visit)
        usable.append(visit)
        told += [f"{drop}: released: run {visit.run}", *_alarm_lines(visit)]
    if not told:
        raise SettingsError("\n".join(refused))
    _note_released(storage, drop)
    return "\n".join([*told, *refused, *_untold()])


def _why_kept_back(storage: Storage, visit: Visit, usable: Iterable[Visit]) -> str:
    """Return why a visit cannot be released; empty if it can be."""
    for other in usable:
        if number := num_held_too(storage, visit, other):
            return (
                f"{visit.drop}: not released: run {visit.run}: {number} of its samples are in run "
                f"{other.run} too, which may be used. Train on that one: on both, they would "
                "count twice."
            )
    return ""


def _release(storage: Storage, number: int, visit: Visit) -> None:
    """Tell Prefect as of a drop that was never held, then release it."""
    from tasks.drops import CLEANED, tell_drop
    from tasks.prefect_state import is_configured

    if is_configured() and visit.selection is not None:
        tell_drop(CLEANED, storage, visit)
    release(storage, number, visit)


def _untold() -> list[str]:
    from tasks.prefect_state import is_configured

    return [] if is_configured() else ["PREFECT_API_URL names no server, so nobody was told"]


def _note_released(storage: Storage, drop: str) -> None:
    seen = looks(storage).get(drop)
    if seen is not None and seen.state == "held":
        note_looks(storage, {drop: seen.model_copy(update={"state": "cleaned"})})


def describe_held(storage: Storage) -> str:
    """Return which drops wait for approval, and why."""
    held = read_log(storage).held.values()
    return "\n".join(line for visit in held for line in _held_lines(visit)) or "no drop is held"


def describe_drops(storage: Storage) -> str:
    """Return how many drops are in which state, and what there is to say of those that are not
    done. Empty if there is no drop.
    """
    log, seen = read_log(storage), looks(storage)
    held = [*log.held.values()]
    waiting = {visit.drop for visit in held}
    states = {name: _state(name, seen.get(name), waiting) for name in _names(log, seen)}
    if not states:
        return ""
    counted = Counter(states.values())
    lines = [f"drops: {', '.join(f'{number} {state}' for state, number in counted.items())}"]
    for name, state in states.items():
        if state == "held":
            found = (visit for visit in held if visit.drop == name)
            lines += [f"  {line}" for visit in found for line in _held_lines(visit)]
        detail = seen[name].detail if name in seen else ""
        if detail or state in ("waiting", "begun", "failed"):
            lines.append(": ".join(filter(None, [f"  {name}", state, detail])))
    return "\n".join(lines)


def _names(log: Log, seen: dict[str, Look]) -> list[str]:
    return sorted({*seen, *(visit.drop for visit in log.visits)})


def _state(name: str, look: Look | None, held: set[str]) -> State:
    """Return the state of a drop. What is held is known from the log, whatever was noted."""
    if name in held:
        return "held"
    return "cleaned" if look is None or look.state == "held" else look.state


def _held_lines(visit: Visit) -> Iterator[str]:
    yield f"{visit.drop}: held: run {visit.run}; `tokensieve approve {visit.drop}` releases it"
    yield from _alarm_lines(visit)


def _alarm_lines(visit: Visit) -> list[str]:
    return [f"  {alarm}" for alarm in visit.alarms]


def _not_held(storage: Storage, log: Log, drop: str) -> SettingsError:
    if any(visit.drop == drop for visit in log.visits):
        return SettingsError(f"{storage}: nothing of the drop {drop} is held. It may be used.")
    names = _names(log, {})
    near = get_close_matches(drop, names, n=1)
    hint = f"Did you mean {near[0]}?" if near else "`tokensieve approve` lists what is held."
    return SettingsError(f"{storage}: no drop called {shortened(drop)} was cleaned. {hint}")
