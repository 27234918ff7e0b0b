"""What a model's loss tells beside another's: the influence, by which several methods rank."""

from tokensieve.corpus import Float64s
from tokensieve.methods.method import Evidence

INFLUENCE_COLUMNS = {"base": ("nll",), "reference": ("nll",)}


def influence(evidence: Evidence) -> Float64s:
    """Return base nll - reference nll of each token, in nats: positive where reference improved.

    NaN where either model has no score. Token Cleaning (arXiv 2502.01968) calls it the score, the
    negative of its influence; Rho-1 (arXiv 2404.07965) the excess loss.
    """
    return loss_difference(evidence, "base", "reference")


def loss_difference(evidence: Evidence, first: str, second: str) -> Float64s:
    """Return the first role's nll - the second's, in nats: positive where the second is better.

    In double precision the difference of two float32 losses is exact.
    """
    difference_T: Float64s = evidence.column(first, "nll") - evidence.column(second, "nll")
    return difference_T
