"""What the words stand for that named queries have as defaults, such as `last`."""

from collections.abc import Iterable
from typing import Any

from sql.named_queries import (
    AS_BEGUN,
    LAST,
    LAST_COMPARED,
    LAST_SHARED,
    LAST_TRAINED,
    NamedQuery,
    Value,
    did_you_mean,
)
from sql.published import connect_published, index_place
from sql.statements import run
from tokensieve.errors import InputError, SettingsError, shortened
from tokensieve.run_order import as_begun, last_worked_on
from tokensieve.storage import Storage

LISTED = {
    LAST: "list_last_rounds",
    LAST_TRAINED: "list_trained_rounds",
    LAST_COMPARED: "list_compared_runs",
    LAST_SHARED: "list_shared_corpora",
    AS_BEGUN: "list_last_rounds",
}
_NEEDED = {
    LAST: "Finish a run",
    LAST_TRAINED: "Finish a round that trains a model",
    LAST_COMPARED: "Finish an arm of a comparison",
    LAST_SHARED: "Clean one drop in two ways",
    AS_BEGUN: "Finish a run",
}


def meant_values(storage: Storage, asked: NamedQuery, values: dict[str, Value]) -> dict[str, Value]:
    """Return the values of those parameters that name something that the index holds.

    Raises SettingsError if it does not hold it, InputError if it holds nothing of the kind.
    """
    defaults = {each.name: each.default for each in asked.parameters}
    found: dict[str, Value] = {}
    if defaults.get("run") in LISTED or defaults.get("round") == LAST:
        found |= _placed(storage, asked, values)
    for name, default in defaults.items():
        if default == LAST_SHARED:
            found[name] = _corpus_meant(storage, str(values[name]))
        if default == AS_BEGUN:
            found[name] = _runs_meant(storage, str(values[name]))
    return found


def _placed(storage: Storage, asked: NamedQuery, values: dict[str, Value]) -> dict[str, Value]:
    """Return the run that is meant, and its round if one is asked for: the index holds them."""
    if "run" not in values:
        raise SettingsError(f"{asked.name}: round: is one of a run. Declare `$run = {LAST}` too.")
    [default] = [each.default for each in asked.parameters if each.name == "run"]
    last_rounds = _listed(storage, str(default) if default in LISTED else LAST)
    name = str(values["run"])
    if name in LISTED:
        name = last_worked_on(storage, last_rounds)
    if name not in last_rounds:
        raise _unknown(storage, "run", name, last_rounds)
    if "round" not in values:
        return {"run": name}
    last = last_rounds[name]
    round = last if values["round"] == LAST else values["round"]
    if last is None or not isinstance(round, int) or not 0 <= round <= last:
        raise SettingsError(
            f"{index_place(storage)}: run {name} has no round {round}; its last is {last}."
        )
    return {"run": name, "round": round}


def _corpus_meant(storage: Storage, name: str) -> str:
    """Return the corpus that is meant: the index holds several rounds of it."""
    corpora = _listed(storage, LAST_SHARED)
    if name == LAST_SHARED:
        return str(corpora[last_worked_on(storage, corpora)])
    if name not in corpora.values():
        raise _unknown(storage, "shared corpus", name, corpora.values())
    return name


def _runs_meant(storage: Storage, names: str) -> list[str]:
    """Return the runs that are meant, in order: all that the index holds, or those given."""
    known = _listed(storage, AS_BEGUN)
    chosen = as_begun(storage, known) if names == AS_BEGUN else names.split(",")
    for name in chosen:
        if name not in known:
            raise _unknown(storage, "run", name, known)
    return chosen


def _listed(storage: Storage, default: str) -> dict[str, Any]:
    """Return what a default can stand for, by run."""
    with connect_published(storage) as connection:
        found = dict(run(connection, LISTED[default]).fetchall())
    if not found:
        raise InputError(
            f"{index_place(storage)}: holds nothing yet that could answer this. "
            f"{_NEEDED[default]}, or run `tokensieve index` to add what is finished."
        )
    return found


def _unknown(storage: Storage, kind: str, name: str, known: Iterable[str]) -> SettingsError:
    return SettingsError(
        f"{index_place(storage)}: holds no {kind} {shortened(name)} that could answer this."
        f"{did_you_mean(name, known)} `tokensieve status` lists all runs; `tokensieve index` adds "
        "what is finished."
    )
