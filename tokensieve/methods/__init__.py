"""The methods: one file each, and here their names.

method.py       what a method is and what it may look at
selector.py     a method made ready for one corpus
catalogue.py    the methods that stand alone; combine.py makes one of several
facts.py        what users are told of each
"""

from collections.abc import Mapping
from typing import Any

from tokensieve.errors import SettingsError
from tokensieve.methods.catalogue import SINGLE_METHODS, find_among
from tokensieve.methods.combine import COMBINE
from tokensieve.methods.method import (
    Evidence,
    Judgement,
    Method,
    Parameters,
    PlantedEvidence,
    Source,
)
from tokensieve.methods.selector import Selector, deferred
from tokensieve.settings import SelectionSettings

__all__ = [
    "METHODS",
    "Evidence",
    "Judgement",
    "Method",
    "Parameters",
    "PlantedEvidence",
    "Selector",
    "Source",
    "chosen_method",
    "deferred",
    "find_method",
]

METHODS = SINGLE_METHODS | {COMBINE.name: COMBINE}
"""Each with its default parameters."""


def find_method(name: str, parameters: Mapping[str, Any] | None = None) -> Method:
    """Return the method called `name` with these parameters over its defaults.

    Raises SettingsError if there is no such method, or no such parameter of it.
    """
    return find_among(METHODS, name, parameters)


def chosen_method(settings: SelectionSettings) -> Method:
    """Return the method that the settings name, with their parameters.

    Raises SettingsError like `find_method`, and where a share or a scope is asked of a method that
    has none.
    """
    method = find_method(settings.method, settings.parameters)
    advice = "Set that of its members in its parameter keep." if method.members else "Leave it out."
    if settings.keep is not None and not method.keeps_share:
        raise SettingsError(
            f"selection.keep: is {settings.keep:g}, but {method.name} keeps no share of its own. "
            + advice
        )
    if settings.scope is not None and not method.has_scope:
        raise SettingsError(
            f"selection.scope: is {settings.scope}, but {method.name} counts no share. "
            "Leave it out."
        )
    return method
