"""The methods that stand alone, by name, and how one is found and given its parameters."""

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

from tokensieve.errors import SettingsError, shortened
from tokensieve.methods.dft import DFT
from tokensieve.methods.eaft import EAFT
from tokensieve.methods.ent import ENT
from tokensieve.methods.external import EXTERNAL
from tokensieve.methods.fixed_model import FIXED_MODEL
from tokensieve.methods.forgetting import FORGETTING
from tokensieve.methods.full import FULL
from tokensieve.methods.method import Method
from tokensieve.methods.profit import PROFIT
from tokensieve.methods.q_tuning import Q_TUNING
from tokensieve.methods.random_control import RANDOM
from tokensieve.methods.rho import RHO
from tokensieve.methods.rho_1 import RHO_1
from tokensieve.methods.self_reference import REFERENCE_ENTROPY, REFERENCE_LOSS
from tokensieve.methods.sieve import SIEVE
from tokensieve.methods.sstoken import SSTOKEN, SSTOKEN_ONLINE
from tokensieve.methods.t3s import T3S
from tokensieve.methods.toss import TOSS
from tokensieve.methods.xtf import XTF
from tokensieve.methods.xtf_released import XTF_RELEASED
from tokensieve.settings import checked

SINGLE_METHODS = {
    method.name: method
    for method in (
        FIXED_MODEL,
        RHO,
        RHO_1,
        REFERENCE_LOSS,
        REFERENCE_ENTROPY,
        SSTOKEN,
        SSTOKEN_ONLINE,
        XTF,
        XTF_RELEASED,
        TOSS,
        T3S,
        FORGETTING,
        Q_TUNING,
        PROFIT,
        DFT,
        EAFT,
        ENT,
        SIEVE,
        EXTERNAL,
        RANDOM,
        FULL,
    )
}
"""Each with its default parameters."""


def find_among(
    methods: Mapping[str, Method], name: str, parameters: Mapping[str, Any] | None
) -> Method:
    """Return the method called `name` with these parameters over its defaults.

    Raises SettingsError if there is no such method, or no such parameter of it.
    """
    if name not in methods:
        near = get_close_matches(name, methods, n=1)
        hint = f"Did you mean {near[0]}?" if near else f"There are: {', '.join(methods)}."
        raise SettingsError(f"selection.method: there is no method {shortened(name)}. {hint}")
    method = methods[name]
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
