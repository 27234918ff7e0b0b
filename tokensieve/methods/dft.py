"""DFT: weighs, at every step, each token by its probability, and drops none."""

from tokensieve.corpus import Float64s
from tokensieve.methods.method import CURRENT, Evidence, Method
from tokensieve.methods.probability import probability


def current_probability(evidence: Evidence) -> Float64s:
    """Return p of each token by the model in training; no gradient goes through it."""
    return probability(evidence, CURRENT)


DFT = Method(
    name="dft",
    source="DFT, arXiv 2508.05629: the loss is p x nll",
    summary="weighs each token, at every step, by its probability by the model in training",
    judge=current_probability,
    columns={CURRENT: ("nll",)},
    direction="weight",
)
