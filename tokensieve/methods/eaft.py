"""EAFT: weighs, at every step, each token by how unsure the model in training is of it."""

import math

from tokensieve.corpus import Float64s
from tokensieve.methods.method import CURRENT, Evidence, Method

_NUM_TOP = 20  # of `top_entropy`


def uncertainty(evidence: Evidence) -> Float64s:
    """Return the entropy of the 20 likeliest tokens / ln 20: 0 where sure, 1 where all are alike.

    No gradient goes through it.
    """
    share_T: Float64s = evidence.column(CURRENT, "top_entropy") / math.log(_NUM_TOP)
    return share_T.clip(0, 1)  # rounding may take it a little beyond


EAFT = Method(
    name="eaft",
    source="EAFT, arXiv 2601.02151, entropy of the 20 likeliest tokens",
    summary="weighs each token, at every step, by the entropy of the model in training",
    judge=uncertainty,
    columns={CURRENT: ("top_entropy",)},
    direction="weight",
)
