"""Forgetting: trains on the tokens that the reference improved, and unlearns the others."""

from functools import partial
from typing import Self

import numpy as np
from pydantic import Field, model_validator

from tokensieve.corpus import Float32s
from tokensieve.methods.influence import INFLUENCE_COLUMNS, influence
from tokensieve.methods.method import Method, Parameters


class ForgettingParameters(Parameters):
    """How strongly the tokens are unlearned."""

    t_max: float = Field(default=0.25, ge=0)
    """What the unlearning has grown to at the end of the training, t_min included."""
    t_min: float = Field(default=1e-5, ge=0)
    """Taken off the growth. The released code begins at 0 all the same."""

    @model_validator(mode="after")
    def _grows(self) -> Self:
        if self.t_min > self.t_max:
            raise ValueError("t_min is above t_max. Lower it, or raise t_max.")
        return self


def unlearning(parameters: ForgettingParameters, weight_T: Float32s, progress: float) -> Float32s:
    """Return the weights of a step's tokens, made of the selection's 1, 0 and -1.

    Divided by the number of positive weights, the loss is mean nll of the positives - lambda x mean
    nll of the negatives, with lambda = (t_max - t_min) x progress. Without positives nothing is
    unlearned: all weights are 0.
    """
    positive_T, negative_T = weight_T > 0, weight_T < 0
    num_positive, num_negative = int(positive_T.sum()), int(negative_T.sum())
    strength = (parameters.t_max - parameters.t_min) * progress
    balance = num_positive / max(num_negative, 1)
    return np.where(negative_T, -strength * balance, positive_T).astype(np.float32)


def forgetting(parameters: ForgettingParameters) -> Method:
    """Return the method with these parameters."""
    return Method(
        name="forgetting",
        source="Forgetting, TMLR 2026, arXiv 2508.04329, and its released code",
        summary="keeps the share of the dataset's tokens that the reference improved most, and "
        "unlearns the rest, ever more as the training goes on",
        judge=influence,
        columns=INFLUENCE_COLUMNS,
        direction="high",
        default_scope="dataset",
        default_keep=0.7,
        parameters=parameters,
        configured=forgetting,
        unlearns=True,
        reweigh=partial(unlearning, parameters),
    )


FORGETTING = forgetting(ForgettingParameters())
