"""T3S: masks what a model had learned first when its training went astray."""

import numpy as np

from tokensieve.methods.influence import loss_difference
from tokensieve.methods.method import Evidence, Judgement, Method


def learned_late(evidence: Evidence) -> Judgement:
    """Return 1 where a token's gain is at most 0, else 0, and the gain in nats.

    The gain is base nll - bottleneck nll, so log p of the bottleneck - log p of the base: positive
    where the bottleneck had learned the token.
    """
    gain_T = loss_difference(evidence, "base", "bottleneck")
    return Judgement(np.heaviside(-gain_T, 1.0), {"gain": gain_T})


T3S = Method(
    name="t3s",
    source="T3S, ICML 2026, arXiv 2601.10348: mask where log p rose to the bottleneck",
    summary="keeps the tokens that the bottleneck, the checkpoint of a plain training that did "
    "worst, had not learned better than the base",
    judge=learned_late,
    columns={"base": ("nll",), "bottleneck": ("nll",)},
    direction="test",
)
