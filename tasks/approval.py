"""Tell which drops wait for somebody, and release what alarms held back."""

from collections import Counter
from collections.abc import Iterator
from difflib import get_close_matches

from tokensieve.drops import Log, Look, State, Visit, looks, note_looks, read_log, release
from tokensieve.errors import SettingsError, shortened
from tokensieve.storage import Storage


def approve_drop(storage: Storage, drop: str) -> str:
    """Release everything that is held of a drop; return what may be used now.

    Prefect is told as of a drop that was never held, if a server is configured. Raises
    SettingsError if nothing of this name is held.
    """
    from tasks.drops import CLEANED, tell_drop
    from tasks.prefect_state import is_configured

    log = read_log(storage)
    held = {number: each for number, each in log.held.items() if each.drop == drop}
    if not held:
        raise _not_held(storage, log, drop)
    for number, visit in held.items():
        if is_configured():
            tell_drop(CLEANED, storage, visit)
        release(storage, number, visit)
    seen = looks(storage).get(drop)
    if seen is not None and seen.state == "held":
        note_looks(storage, {drop: seen.model_copy(update={"state": "cleaned"})})
    return "\n".join(f"{drop}: released: run {visit.run}" for visit in held.values())


def describe_held(storage: Storage) -> str:
    """Return which drops wait for approval, and why."""
    held = read_log(storage).held.values()
    return "\n".join(line for visit in held for line in _held_lines(visit)) or "no drop is held"


def describe_drops(storage: Storage) -> str:
    """Return how many drops are in which state, and what there is to say of those that are not
    done. Empty if there is no drop.
    """
    log, seen = read_log(storage), looks(storage)
    held = {visit.drop: visit for visit in log.held.values()}
    states = {name: _state(name, seen.get(name), held) for name in _names(log, seen)}
    if not states:
        return ""
    counted = Counter(states.values())
    lines = [f"drops: {', '.join(f'{number} {state}' for state, number in counted.items())}"]
    for name, state in states.items():
        if state == "held":
            lines += [f"  {line}" for line in _held_lines(held[name])]
        detail = seen[name].detail if name in seen else ""
        if detail or state in ("waiting", "begun", "failed"):
            lines.append(": ".join(filter(None, [f"  {name}", state, detail])))
    return "\n".join(lines)


def _names(log: Log, seen: dict[str, Look]) -> list[str]:
    return sorted({*seen, *(visit.drop for visit in log.visits)})


def _state(name: str, look: Look | None, held: dict[str, Visit]) -> State:
    """Return the state of a drop. What is held is known from the log, whatever was noted."""
    if name in held:
        return "held"
    return "cleaned" if look is None or look.state == "held" else look.state


def _held_lines(visit: Visit) -> Iterator[str]:
    yield f"{visit.drop}: held: run {visit.run}; `tokensieve approve {visit.drop}` releases it"
    yield from (f"  {alarm}" for alarm in visit.alarms)


def _not_held(storage: Storage, log: Log, drop: str) -> SettingsError:
    if any(visit.drop == drop for visit in log.visits):
        return SettingsError(f"{storage}: nothing of the drop {drop} is held. It may be used.")
    names = _names(log, {})
    near = get_close_matches(drop, names, n=1)
    hint = f"Did you mean {near[0]}?" if near else "`tokensieve approve` lists what is held."
    return SettingsError(f"{storage}: no drop called {shortened(drop)} was cleaned. {hint}")
