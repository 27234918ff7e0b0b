"""Answers to named queries, with the values that were given for their parameters."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from threading import Event
from typing import Any

from sql.named_queries import (
    LAST,
    LAST_COMPARED,
    LAST_SHARED,
    LAST_TRAINED,
    NamedQuery,
    Parameter,
    Value,
    did_you_mean,
)
from sql.published import connect_published, index_place
from sql.query import QueryResult, query
from sql.statements import run
from tokensieve.errors import InputError, SettingsError, shortened
from tokensieve.runs import last_worked_on
from tokensieve.storage import Storage

_LISTED = {
    LAST: "list_last_rounds",
    LAST_TRAINED: "list_trained_rounds",
    LAST_COMPARED: "list_compared_runs",
    LAST_SHARED: "list_shared_corpora",
}
_NEEDED = {
    LAST: "Finish a run",
    LAST_TRAINED: "Finish a round that trains a model",
    LAST_COMPARED: "Finish an arm of a comparison",
    LAST_SHARED: "Clean one drop in two ways",
}
_KINDS: dict[type[Value], str] = {int: "a whole number", float: "a number", str: "text"}


@dataclass(frozen=True)
class NamedAnswer:
    """The answer to a named query."""

    result: QueryResult
    values: dict[str, Value]
    """What each parameter was, defaults included."""


def run_named(
    storage: Storage,
    asked: NamedQuery,
    given: Mapping[str, str],
    *,
    max_rows: int,
    max_seconds: float,
    given_up: Event | None = None,
) -> NamedAnswer:
    """Return the first `max_rows` rows of a named query; `given` are values of its parameters.

    Raises SettingsError for a parameter that it does not have, that is missing or of another kind,
    and for a run or round that the index does not hold; and what `query` raises.
    """
    values = _values(asked, given)
    for parameter in asked.parameters:
        if parameter.name == "run" and parameter.default in _LISTED:
            values |= _placed(storage, str(parameter.default), values)
        if parameter.default == LAST_SHARED:
            values[parameter.name] = _corpus_meant(storage, str(values[parameter.name]))
    result = query(
        storage,
        asked.statement,
        max_rows=max_rows,
        max_seconds=max_seconds,
        values=values,
        given_up=given_up,
    )
    return NamedAnswer(result, values)


def _values(asked: NamedQuery, given: Mapping[str, str]) -> dict[str, Value]:
    """Return the value of each parameter; the words of `_LISTED` stay."""
    names = [parameter.name for parameter in asked.parameters]
    for name in given:
        if name not in names:
            raise SettingsError(
                f"{asked.name}: {shortened(name)} is not one of its parameters: "
                f"{', '.join(names) or 'it has none'}."
            )
    return {each.name: _value(asked, each, given.get(each.name)) for each in asked.parameters}


def _value(asked: NamedQuery, parameter: Parameter, text: str | None) -> Value:
    """Return what was given for a parameter, or its default."""
    value = parameter.default if text is None else text
    if value is None:
        raise SettingsError(f"{asked.name}: {parameter.name}: is missing. It has no default.")
    if value in _LISTED or text is None:
        return value
    kind = int if parameter.name == "round" else type(parameter.default or text)
    try:
        return kind(text)
    except ValueError:
        raise SettingsError(
            f"{asked.name}: {parameter.name}: {shortened(text)} is not {_KINDS[kind]}."
        ) from None


def _placed(storage: Storage, default: str, values: Mapping[str, Value]) -> dict[str, Value]:
    """Return the run that is meant, and its round if one is asked for: the index holds them."""
    last_rounds = _listed(storage, default)
    name = str(values["run"])
    if name == default:
        name = last_worked_on(storage, last_rounds)
    if name not in last_rounds:
        raise _unknown(storage, "run", name, last_rounds)
    if "round" not in values:
        return {"run": name}
    round, last = values["round"], last_rounds[name]
    if round == LAST:
        return {"run": name, "round": last}
    if not 0 <= int(round) <= last:
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


def _listed(storage: Storage, default: str) -> dict[str, Any]:
    """Return what a default can stand for, by run."""
    with connect_published(storage) as connection:
        found = dict(run(connection, _LISTED[default]).fetchall())
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
