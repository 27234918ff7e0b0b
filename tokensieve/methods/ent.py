"""Error norm truncation: leaves out, at every step, what goes against a model that is sure."""

import numpy as np

from tokensieve.corpus import Float64s
from tokensieve.methods.method import CURRENT, Evidence, Method
from tokensieve.methods.probability import probability


def error_norm(evidence: Evidence) -> Float64s:
    """Return ||p - one-hot of the token|| = sqrt(1 - 2 p[token] + sum p^2), 0 to sqrt 2.

    Of tokens with the same p it is the higher, the surer the model in training is of others.
    """
    p_T, sum_p2_T = probability(evidence, CURRENT), evidence.column(CURRENT, "sum_p2")
    square_T: Float64s = 1 - 2 * p_T + sum_p2_T
    norm_T: Float64s = np.sqrt(square_T.clip(min=0))  # rounding may take it a little below
    return norm_T


ENT = Method(
    name="ent",
    source="Error Norm Truncation, Li et al., ICLR 2024, arXiv 2310.00840, a fraction of the batch",
    summary="drops, at every step, the tokens at which the model in training is surest of others",
    judge=error_norm,
    columns={CURRENT: ("nll", "sum_p2")},
    direction="low",
    default_scope="dataset",
)
