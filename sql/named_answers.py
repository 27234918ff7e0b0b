"""Answers to named queries, with the values that were given for their parameters."""

from collections.abc import Mapping
from dataclasses import dataclass
from threading import Event

from sql.named_defaults import LISTED, meant_values
from sql.named_queries import NamedQuery, Parameter, Value
from sql.query import QueryResult, query
from tokensieve.errors import SettingsError, shortened
from tokensieve.storage import Storage

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
    values |= meant_values(storage, asked, values)
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
    """Return the value of each parameter; the words of `LISTED` stay."""
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
    if value in LISTED or text is None:
        return value
    kind = _kind(parameter)
    try:
        return kind(text)
    except ValueError:
        raise SettingsError(
            f"{asked.name}: {parameter.name}: {shortened(text)} is not {_KINDS[kind]}."
        ) from None


def _kind(parameter: Parameter) -> type[int | float | str]:
    """Return of what kind values are: that of the default, which of a round is a word."""
    if parameter.name == "round":
        return int
    return str if parameter.default is None else type(parameter.default)
