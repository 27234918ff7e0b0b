"""The methods: one file each, and here their names."""

from difflib import get_close_matches

from tokensieve.errors import SettingsError, shortened
from tokensieve.methods.fixed_model import FIXED_MODEL
from tokensieve.methods.full import FULL
from tokensieve.methods.method import Evidence, Method
from tokensieve.methods.random_control import RANDOM
from tokensieve.methods.rho import RHO

__all__ = ["METHODS", "Evidence", "Method", "find_method"]

METHODS = {method.name: method for method in (FIXED_MODEL, RHO, RANDOM, FULL)}


def find_method(name: str) -> Method:
    """Return the method called `name`; raise SettingsError if there is none."""
    if name not in METHODS:
        near = get_close_matches(name, METHODS, n=1)
        hint = f"Did you mean {near[0]}?" if near else f"There are: {', '.join(METHODS)}."
        raise SettingsError(f"selection.method: there is no method {shortened(name)}. {hint}")
    return METHODS[name]
