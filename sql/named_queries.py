"""Questions that people ask often: one statement per file of named/, asked for by its name.

A file begins with what it answers, in one sentence, and with its parameters and their defaults:

    -- The sources of a round that lost the largest share of their response tokens, worst first.
    -- In: $run = last, $round = last, $most = 20.

`last` is the run last worked on, and its last round; `last trained` the same among the runs whose
rounds train models, `last compared` among those with arms. `last shared` is the corpus of the run
last worked on that several rounds chose from; `as begun` are all runs with a finished round, in the
order in which they were begun. A parameter without a default has to be given.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from importlib.resources import files

from tokensieve.errors import SettingsError, shortened

Value = str | int | float | list[str]

LAST = "last"
LAST_TRAINED = "last trained"
LAST_COMPARED = "last compared"
LAST_SHARED = "last shared"
AS_BEGUN = "as begun"

_HEADER = re.compile(r"(?:\s*--.*\n)*")
_SENTENCE = re.compile(r".*?\.(?=\s+[A-Z]|$)")
_PARAMETERS = re.compile(r"\bIn: (\$.*?)\.(?=\s|$)")
_PARAMETER = re.compile(r"\$(\w+)(?: = (.+))?")


@dataclass(frozen=True)
class Parameter:
    """What a named query can be told."""

    name: str
    default: str | int | float | None
    """None: it has to be given. LAST and the like stand for something that the index holds."""


@dataclass(frozen=True)
class NamedQuery:
    """A question that has a name."""

    name: str
    sentence: str
    """What it answers."""
    parameters: tuple[Parameter, ...]
    statement: str


def named_queries() -> list[NamedQuery]:
    """Return every query that has a name, in the order of the names."""
    found = {file.name: file for file in files("sql").joinpath("named").iterdir()}
    return [
        parsed_query(name.removesuffix(".sql"), found[name].read_text(encoding="utf-8"))
        for name in sorted(found)
        if name.endswith(".sql")
    ]


def find_query(name: str) -> NamedQuery:
    """Return the query of this name; raise SettingsError with the nearest ones if there is none."""
    known = {each.name: each for each in named_queries()}
    if name in known:
        return known[name]
    raise SettingsError(
        f"the query: {shortened(name)} is neither SQL nor the name of a query."
        f"{did_you_mean(name, known)} `tokensieve sql --list` shows them all."
    )


def parsed_query(name: str, statement: str) -> NamedQuery:
    """Return the query that a file of SQL holds. What its header does not say is empty.

    Raises SettingsError for parameters that cannot be understood.
    """
    header = _HEADER.match(statement)
    lines = header[0].splitlines() if header else []
    words = " ".join(line.strip().removeprefix("--").strip() for line in lines)
    sentence, declared = _SENTENCE.match(words), _PARAMETERS.search(words)
    parameters = declared[1].split(", ") if declared else []
    return NamedQuery(
        name, sentence[0] if sentence else "", tuple(map(_parameter, parameters)), statement
    )


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return a sentence with the nearest names, after a space; nothing if none is near."""
    near = get_close_matches(name, known)
    return f" Did you mean {', '.join(near)}?" if near else ""


def _parameter(text: str) -> Parameter:
    found = _PARAMETER.fullmatch(text)
    if found is None:
        raise SettingsError(
            f"the header of the query: {shortened(text)} is no parameter. Write `In:`, then "
            "`$name = default` for each, commas between them, and a full stop."
        )
    name, default = found.groups()
    return Parameter(name, None if default is None else _plain(default))


def _plain(text: str) -> str | int | float:
    """Return the number that a text is, or the text."""
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
