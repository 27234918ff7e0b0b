"""XTF: drops the tokens that are of little importance, already known, or beside the subject.

As the paper has it, except where it leaves something open. Its importance is "the attention score
of the token": here what the token receives from the queries that can see it, mean of the heads, in
the layer of scoring.attention_layer, the last one by default; the released code looks at the first
layer, and takes the mean over the keys, which is 1/S for every token. The quartiles are those of
the sample, as in the released code. The number of classes of relevance is the released code's.
Where fewer of 256 bins of relevance are taken than there are classes, none is dropped.
"""

from functools import partial

import numpy as np
from pydantic import Field

from tokensieve.corpus import Bools, Float64s
from tokensieve.methods.method import (
    Evidence,
    Fitting,
    Judgement,
    Method,
    Parameters,
    candidates,
)
from tokensieve.methods.probability import novelty
from tokensieve.methods.reasons import joined_codes, joined_names
from tokensieve.methods.relevance import Relevance, fit_relevance
from tokensieve.methods.within_samples import SampleOrder


class XtfParameters(Parameters):
    """Where each of the three tests ends."""

    importance_iqr: float = Field(default=1.0, ge=0)
    """Drop below the sample's first quartile of importance less so many interquartile ranges."""
    novelty: float = Field(default=0.05, ge=0, le=1)
    """Drop where 1 - p by the base is below it."""
    relevance_classes: int = Field(default=5, ge=3, le=256)
    """Classes of relevance. The second lowest is dropped; the lowest are spaces and the like."""


def judge(parameters: XtfParameters, evidence: Evidence) -> Judgement:
    """Return 1 less the number of tests against each token, the numbers, and which tests."""
    fitted: Relevance = evidence.fitted
    importance_T = evidence.column("base", "received_attention")
    novelty_T, relevance_T = novelty(evidence, "base"), fitted.along(evidence)
    against = (
        _is_outlier(importance_T, parameters.importance_iqr, evidence),
        novelty_T < parameters.novelty,
        _is_in_second_class(relevance_T, fitted.cuts),
    )
    return Judgement(
        score_T=1.0 - np.sum(against, axis=0),
        attributes={"importance": importance_T, "novelty": novelty_T, "relevance": relevance_T},
        reason_T=joined_codes(against),
    )


def _is_outlier(importance_T: Float64s, num_ranges: float, evidence: Evidence) -> Bools:
    """Return which tokens lie below Q1 - num_ranges x (Q3 - Q1) of their sample."""
    importance_T = np.where(candidates(evidence), importance_T, np.nan)
    order = SampleOrder(importance_T, evidence.shard.offsets_N1)
    first_N, third_N = order.quantile(0.25), order.quantile(0.75)
    return importance_T < order.along(first_N - num_ranges * (third_N - first_N))


def _is_in_second_class(relevance_T: Float64s, cuts: list[float]) -> Bools:
    if not cuts:
        return np.zeros(len(relevance_T), dtype=bool)
    return (relevance_T >= cuts[0]) & (relevance_T < cuts[1])


def _fit(parameters: XtfParameters, fitting: Fitting) -> Relevance:
    return fit_relevance(fitting, parameters.relevance_classes, responses_only=True)


def xtf(parameters: XtfParameters) -> Method:
    """Return the method with these thresholds."""
    return Method(
        name="xtf",
        source="XTF, Yang et al., ICLR 2026, arXiv 2602.14536, equations 5 to 7",
        summary="drops tokens that little attention goes to, that the base knows, or that are "
        "beside the corpus's subject",
        judge=partial(judge, parameters),
        columns={"base": ("nll", "received_attention")},
        direction="test",
        parameters=parameters,
        configured=xtf,
        reasons=joined_names(("importance", "novelty", "relevance")),
        fit=partial(_fit, parameters),
        embeds=True,
    )


XTF = xtf(XtfParameters())
