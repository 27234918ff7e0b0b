"""The methods: one file each, and here their names."""

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

from tokensieve.errors import SettingsError, shortened
from tokensieve.methods.fixed_model import FIXED_MODEL
from tokensieve.methods.full import FULL
from tokensieve.methods.method import Evidence, Judgement, Method, Parameters, PlantedEvidence
from tokensieve.methods.random_control import RANDOM
from tokensieve.methods.rho import RHO
from tokensieve.methods.selector import Selector, Source, deferred
from tokensieve.settings import SelectionSettings, checked

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

METHODS = {method.name: method for method in (FIXED_MODEL, RHO, RANDOM, FULL)}
"""Each with its default parameters."""


def find_method(name: str, parameters: Mapping[str, Any] | None = None) -> Method:
    """Return the method called `name` with these parameters over its defaults.

    Raises SettingsError if there is no such method, or no such parameter of it.
    """
    if name not in METHODS:
        near = get_close_matches(name, METHODS, n=1)
        hint = f"Did you mean {near[0]}?" if near else f"There are: {', '.join(METHODS)}."
        raise SettingsError(f"selection.method: there is no method {shortened(name)}. {hint}")
    method = METHODS[name]
    if not parameters:
        return method
    if method.configured is None:
        raise SettingsError(
            f"selection.parameters: the method {name} has none (got "
            f"{shortened(', '.join(parameters))}). Leave them out."
        )
    try:
        return method.configured(checked(type(method.parameters), dict(parameters)))
    except SettingsError as error:
        raise SettingsError(f"selection.parameters of {name}: {error}") from None


def chosen_method(settings: SelectionSettings) -> Method:
    """Return the method that the settings name, with their parameters."""
    return find_method(settings.method, settings.parameters)
