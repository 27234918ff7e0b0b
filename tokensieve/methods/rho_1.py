"""Rho-1 as published: at every step, the tokens that the model in training still has to learn."""

from tokensieve.corpus import Float64s
from tokensieve.methods.influence import loss_difference
from tokensieve.methods.method import CURRENT, Evidence, Method

_DIGITS = 3


def excess_loss(evidence: Evidence) -> Float64s:
    """Return current nll - reference nll of each token, in nats: positive where there is to learn.

    Rho-1 (arXiv 2404.07965) equation 3. ssToken looks at the current model the other way round.
    To 0.001 nats, so that where both models say the same, rounding puts no token before another.
    """
    return loss_difference(evidence, CURRENT, "reference").round(_DIGITS)


RHO_1 = Method(
    name="rho-1",
    source="Rho-1, Lin et al., NeurIPS 2024, arXiv 2404.07965, selective language modeling",
    summary="keeps the share of each step's tokens that the model in training knows least beside "
    "the reference",
    judge=excess_loss,
    columns={CURRENT: ("nll",), "reference": ("nll",)},
    direction="high",
    default_scope="dataset",
)
