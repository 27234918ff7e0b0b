"""What is asked of the index: SQL, the name of a query, or a file of SQL."""

import re
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

from sql.named_queries import LAST, NamedQuery, Parameter, find_query, named_queries, parsed_query
from tokensieve.errors import InputError

_NAME = re.compile(r"(?!(?:describe|show)$)[a-z_][\w-]*", re.IGNORECASE)
"""One word: the only SQL of one word are those two."""
_ADVICE = """
run is the run last worked on and round its last one, unless they are given:
  tokensieve sql worst_sources --set run=RUN --set most=5
Or ask anything else; docs/sql.md shows what there is:
  tokensieve sql "select source, kept_share from source_stats"
  tokensieve sql --file question.sql"""


def describe_queries() -> str:
    """Return every query that has a name, with its parameters and what it answers."""
    described = [f"{_signature(each)}\n    {each.sentence}" for each in named_queries()]
    return "\n".join([*described, _ADVICE])


def asked_query(text: str, given: Collection[str]) -> NamedQuery:
    """Return the query of this name, or of this SQL; `given` are the names of values for it.

    Raises SettingsError for a word that is neither.
    """
    if _NAME.fullmatch(text.strip()):
        return find_query(text.strip())
    return _free("the query", text, given)


def query_of_file(path: Path, given: Collection[str]) -> NamedQuery:
    """Return the query that a file holds; raise InputError if it cannot be read."""
    try:
        return _free(str(path), path.read_text(encoding="utf-8"), given)
    except UnicodeDecodeError:
        raise InputError(f"{path}: is not UTF-8. A query is text.") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from None


def _free(name: str, statement: str, given: Collection[str]) -> NamedQuery:
    """Return a query of somebody's own. Without a header it has the parameters that are given."""
    query = parsed_query(name, statement)
    if query.parameters:
        return query
    return replace(query, parameters=tuple(Parameter(each, None) for each in given))


def _signature(query: NamedQuery) -> str:
    """Return the name with its parameters; what `last` is stands below the list."""
    shown = [
        each.name if each.default == LAST else f"{each.name} = {each.default}"
        for each in query.parameters
    ]
    return f"{query.name}({', '.join(shown)})"
