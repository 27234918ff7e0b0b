"""The rules of XTF's released code, to compare with: other ones than those of its paper.

Its importance is left out: it is 1/S for every token of a sample of S tokens, so it drops nothing
but by rounding. Its relevance compares the model's answer to the token alone with that to words
about the subject, chosen by hand for four data sets; here it is the one of `xtf`. The rules that
make decisions of novelty and relevance are the code's.
"""

from functools import partial

import numpy as np
from pydantic import Field

from tokensieve.corpus import Float64s
from tokensieve.methods.method import (
    Evidence,
    Fitting,
    Judgement,
    Method,
    Parameters,
    candidates,
)
from tokensieve.methods.probability import probability
from tokensieve.methods.reasons import joined_codes, joined_names
from tokensieve.methods.relevance import Relevance, fit_relevance
from tokensieve.methods.within_samples import SampleOrder

_KNOWN = 0.95
_NUM_CLASSES = 5


class XtfReleasedParameters(Parameters):
    """How much of a sample each test may drop."""

    kn: float = Field(default=0.1, ge=0, le=1)
    """Share of a sample's tokens, the most probable, of which those with p above 0.95 go."""
    tr: float = Field(default=0.1, ge=0, le=1)
    """Share of a sample's tokens, the least relevant, of which those below the cut go."""


def judge(parameters: XtfReleasedParameters, evidence: Evidence) -> Judgement:
    """Return 1 less the number of tests against each token, the numbers, and which tests."""
    fitted: Relevance = evidence.fitted
    p_T, relevance_T = probability(evidence, "base"), fitted.along(evidence)
    against = (
        (p_T > _KNOWN) & (p_T > _at_share(p_T, 1 - parameters.kn, evidence)),
        (relevance_T < _cut(fitted))
        & (relevance_T < _at_share(relevance_T, parameters.tr, evidence)),
    )
    return Judgement(
        score_T=1.0 - np.sum(against, axis=0),
        attributes={"novelty": 1 - p_T, "relevance": relevance_T},
        reason_T=joined_codes(against),
    )


def _at_share(value_T: Float64s, share: float, evidence: Evidence) -> Float64s:
    """Return, for each token, its sample's value at place int(candidates x share), from 0."""
    value_T = np.where(candidates(evidence), value_T, np.nan)
    order = SampleOrder(value_T, evidence.shard.offsets_N1)
    return order.along(order.at((order.count_N * share).astype(np.int64)))


def _cut(fitted: Relevance) -> float:
    """Return the cut below the first at which the shares, added up, exceed 1: mostly the lowest."""
    if not fitted.cuts:
        return -np.inf
    beyond = np.flatnonzero(np.cumsum(fitted.shares) > 1)
    return fitted.cuts[beyond[0] - 1] if len(beyond) else fitted.cuts[-1]


def _fit(fitting: Fitting) -> Relevance:
    return fit_relevance(fitting, _NUM_CLASSES, responses_only=False)


def xtf_released(parameters: XtfReleasedParameters) -> Method:
    """Return the method with these shares."""
    return Method(
        name="xtf-released",
        source="the released code of XTF (arXiv 2602.14536), without its importance",
        summary="drops tokens that the base knows or that are beside the subject, by the rules of "
        "XTF's released code",
        judge=partial(judge, parameters),
        columns={"base": ("nll",)},
        direction="test",
        parameters=parameters,
        configured=xtf_released,
        reasons=joined_names(("novelty", "relevance")),
        fit=_fit,
        embeds=True,
    )


XTF_RELEASED = xtf_released(XtfReleasedParameters())
