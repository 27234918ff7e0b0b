"""EAFT: weighs, at every step, each token by how unsure the model in training is of it.

The divisor is the greatest entropy that there can be, ln 20 = 2.9957. Its released code is reported
to divide by 3.0, which makes every weight 0.14 % smaller; we have not read it.
"""

import math

import numpy as np

from tokensieve.corpus import Float64s
from tokensieve.methods.method import CURRENT, Evidence, Method

_NUM_TOP = 20  # of `top_entropy`


def uncertainty(evidence: Evidence) -> Float64s:
    """Return the entropy of the 20 likeliest tokens / ln 20: near 0 where sure, 1 if all are alike.

    No gradient goes through it. Never 0: it drops no token, and the loss is a mean over all.
    """
    share_T: Float64s = evidence.column(CURRENT, "top_entropy") / math.log(_NUM_TOP)
    return share_T.clip(np.finfo(np.float32).tiny, 1)  # rounding may take it a little beyond


EAFT = Method(
    name="eaft",
    source="EAFT, arXiv 2601.02151, entropy of the 20 likeliest tokens",
    summary="weighs each token, at every step, by the entropy of the model in training",
    judge=uncertainty,
    columns={CURRENT: ("top_entropy",)},
    direction="weight",
)
