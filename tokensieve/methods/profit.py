"""ProFit: leaves out, at every step, the tokens that the model in training finds improbable."""

from functools import partial

import numpy as np
from pydantic import Field

from tokensieve.corpus import Float64s
from tokensieve.methods.method import CURRENT, Evidence, Method, Parameters
from tokensieve.methods.probability import probability


class ProfitParameters(Parameters):
    """Where a token is improbable."""

    tau: float = Field(default=0.1, ge=0, le=1)
    """Tokens with p below it are left out."""


def probable(parameters: ProfitParameters, evidence: Evidence) -> Float64s:
    """Return 1 where p >= tau by the model in training, else 0."""
    return np.heaviside(probability(evidence, CURRENT) - parameters.tau, 1.0)


def profit(parameters: ProfitParameters) -> Method:
    """Return the method with this threshold."""
    return Method(
        name="profit",
        source="ProFit, arXiv 2601.09195, and its released code",
        summary="keeps, at every step, the tokens that the model in training finds probable",
        judge=partial(probable, parameters),
        columns={CURRENT: ("nll",)},
        direction="test",
        parameters=parameters,
        configured=profit,
    )


PROFIT = profit(ProfitParameters())
