"""DFT: weighs, at every step, each token by its probability, and drops none."""

import numpy as np

from tokensieve.corpus import Float64s
from tokensieve.methods.method import CURRENT, Evidence, Method
from tokensieve.methods.probability import probability


def current_probability(evidence: Evidence) -> Float64s:
    """Return p of each token by the model in training; no gradient goes through it.

    Never 0: the method drops no token, and the loss is a mean over all.
    """
    return probability(evidence, CURRENT).clip(np.finfo(np.float32).tiny)


DFT = Method(
    name="dft",
    source="DFT, arXiv 2508.05629: the loss is p x nll",
    summary="weighs each token, at every step, by its probability by the model in training",
    judge=current_probability,
    columns={CURRENT: ("nll",)},
    direction="weight",
)
