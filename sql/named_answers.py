"""Answers to named queries, with the values that were given for their parameters."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from sql.named_queries import LAST, LAST_COMPARED, NamedQuery, Parameter, Value, did_you_mean
from sql.published import connect_published, index_place
from sql.query import QueryResult, query
from sql.statements import run
from tokensieve.errors import InputError, SettingsError, shortened
from tokensieve.runs import last_worked_on
from tokensieve.storage import Storage

_LISTED = {LAST: "list_last_rounds", LAST_COMPARED: "list_compared_runs"}
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
) -> NamedAnswer:
    """Return the first `max_rows` rows of a named query; `given` are values of its parameters.

    Raises SettingsError for a parameter that it does not have, that is missing or of another kind,
    and for a run or round that the index does not hold; and what `query` raises.
    """
    values = _values(asked, given)
    for parameter in asked.parameters:
        if parameter.default in _LISTED and parameter.name == "run":
            values |= _placed(storage, _LISTED[str(parameter.default)], values)
    result = query(
        storage, asked.statement, max_rows=max_rows, max_seconds=max_seconds, values=values
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


def _placed(storage: Storage, listed: str, values: Mapping[str, Value]) -> dict[str, Value]:
    """Return the run that is meant, and its round if one is asked for: the index holds them."""
    with connect_published(storage) as connection:
        last_rounds = dict(run(connection, listed).fetchall())
    name = _run_meant(storage, str(values["run"]), last_rounds)
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


def _run_meant(storage: Storage, name: str, known: Collection[str]) -> str:
    """Return the name of a run that the index holds."""
    place = index_place(storage)
    if not known:
        raise InputError(
            f"{place}: holds nothing yet that could answer this. Finish a run, or run "
            "`tokensieve index`."
        )
    if name in _LISTED:
        return last_worked_on(storage, known)
    if name in known:
        return name
    raise SettingsError(
        f"{place}: holds nothing of a run {shortened(name)} that could answer this."
        f"{did_you_mean(name, known)} `tokensieve status` lists all runs; `tokensieve index` adds "
        "what is finished."
    )
