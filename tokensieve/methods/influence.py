"""The influence of the reference on each token, which several methods rank by."""

import numpy as np

from tokensieve.corpus import Float64s
from tokensieve.methods.method import Evidence

INFLUENCE_COLUMNS = {"base": ("nll",), "reference": ("nll",)}


def influence(evidence: Evidence) -> Float64s:
    """Return base nll - reference nll of each token, in nats: positive where reference improved.

    NaN where either model has no score. Token Cleaning (arXiv 2502.01968) calls it the score, the
    negative of its influence; Rho-1 (arXiv 2404.07965) the excess loss. In double precision the
    difference of two float32 losses is exact.
    """
    base_T = evidence.scores["base"]["nll"].astype(np.float64)
    reference_T = evidence.scores["reference"]["nll"].astype(np.float64)
    difference_T: Float64s = base_T - reference_T
    return difference_T
