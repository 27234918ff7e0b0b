"""What models say of tokens, as probabilities."""

import numpy as np

from tokensieve.corpus import Float64s
from tokensieve.methods.method import Evidence


def probability(evidence: Evidence, role: str) -> Float64s:
    """Return p of each token given those before it, by the role's model: exp(-nll)."""
    return np.exp(-evidence.column(role, "nll"))


def novelty(evidence: Evidence, role: str) -> Float64s:
    """Return 1 - p of each token, exact also where p is next to 1."""
    return -np.expm1(-evidence.column(role, "nll"))
