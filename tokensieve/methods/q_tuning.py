"""Q-Tuning: keeps, at every step, the samples that mislead the model or find it unsure.

There is no released code, and its page leaves much open: no parity is claimed. Here a sample lies
high or low if it is at or beyond the quantiles 1 - t and t of the step's samples, in perplexity
exp(mean nll) and in mean entropy alike, and

    high perplexity, low entropy   misconception  kept, some of its tokens dropped: "token"
    low perplexity, high entropy   calibration    kept whole
    high in both                   noise          dropped: "noise"
    low in both                    redundant      dropped: "redundant"
    anything else                  in between     dropped: "between"

in this order where quantiles coincide. t is found by bisection between 0 and 1/2: the smallest at
which the samples kept are sample_share of the step's, or 1/2 if they always are fewer.

Shapes: T = tokens of the step, N = its samples.
"""

from functools import partial
from typing import Literal

import numpy as np
from pydantic import Field

from tokensieve.corpus import Bools, Float64s, Int64s
from tokensieve.methods.method import (
    CURRENT,
    Evidence,
    Judgement,
    Method,
    Parameters,
    candidates,
)
from tokensieve.ranking import Rule, ScoredShard
from tokensieve.selection import select_shard

_MAX_NLL = 87.0  # beyond e^88 there is no number in single precision; two are added up
_NUM_HALVINGS = 20
_KEPT, _TOKEN, _NOISE, _REDUNDANT, _BETWEEN = range(-1, 4)


class QTuningParameters(Parameters):
    """How much is kept, of samples and of tokens."""

    sample_share: float = Field(default=0.25, gt=0, le=1)
    """Share of a step's samples to keep, as far as they lie that way."""
    token_share: float = Field(default=0.7, gt=0, le=1)
    """Share of the tokens to keep of a sample that misleads the model, rounded up."""
    smoothing: float = Field(default=0.5, ge=0, le=1)
    """Weight of both neighbours in a token's perplexity; that of the token itself is the rest."""
    token_direction: Literal["low", "high"] = "low"
    """Which of these tokens are kept: those of low perplexity, which its page gives as the aim, or
    of high, which an implementation by others keeps."""


def judge(parameters: QTuningParameters, evidence: Evidence) -> Judgement:
    """Return 1 for tokens to keep, else 0, with the smoothed perplexity and what speaks against."""
    shard = evidence.shard
    smoothed_T = smoothed_perplexity(evidence, parameters.smoothing)
    reason_T = np.repeat(sample_reasons(evidence, parameters.sample_share), shard.lengths_N)
    misleading_T = np.where(reason_T == _TOKEN, smoothed_T, np.nan)
    rule = Rule(parameters.token_direction, "sample", parameters.token_share, "ceil")
    scored = ScoredShard(misleading_T, shard.offsets_N1, shard.sources)
    reason_T = np.where(select_shard(scored, 0, rule, {}) > 0, _KEPT, reason_T)
    score_T = (reason_T == _KEPT).astype(np.float64)
    return Judgement(score_T, {"smoothed_perplexity": smoothed_T}, reason_T)


def smoothed_perplexity(evidence: Evidence, smoothing: float) -> Float64s:
    """Return (1 - smoothing) x own + smoothing x (former + next) of each candidate; own is e^nll.

    Where the token before or after is no candidate of the same turn, its own stands for it.
    """
    nll_T = np.where(candidates(evidence), evidence.column(CURRENT, "nll"), np.nan)
    own_T = np.exp(nll_T.clip(max=_MAX_NLL))
    former_T, next_T = own_T.copy(), own_T.copy()
    in_turn_T1 = np.diff(evidence.shard.turn_T) == 0
    joined_T1 = in_turn_T1 & ~np.isnan(own_T[1:] + own_T[:-1])  # a sample's first is NaN
    former_T[1:][joined_T1] = own_T[:-1][joined_T1]
    next_T[:-1][joined_T1] = own_T[1:][joined_T1]
    smoothed_T: Float64s = (1 - smoothing) * own_T + smoothing * (former_T + next_T)
    return smoothed_T


def sample_reasons(evidence: Evidence, sample_share: float) -> Int64s:
    """Return what speaks against the tokens of each sample: `token` where only some are dropped."""
    candidate_T = candidates(evidence)
    nll_N, entropy_N = (_means(evidence, name, candidate_T) for name in ("nll", "entropy"))
    reason_N = np.full(len(nll_N), _BETWEEN)
    some_N = ~np.isnan(nll_N)
    if some_N.any():
        perplexity_N = np.exp(nll_N[some_N].clip(max=_MAX_NLL))
        reason_N[some_N] = _bisected(perplexity_N, entropy_N[some_N], sample_share)
    return reason_N


def _means(evidence: Evidence, name: str, candidate_T: Bools) -> Float64s:
    """Return the mean of a column over each sample's candidates; NaN if it has none."""
    shard = evidence.shard
    sample_C = np.repeat(np.arange(shard.num_samples), shard.lengths_N)[candidate_T]
    value_C = evidence.column(CURRENT, name)[candidate_T]
    sum_N = np.bincount(sample_C, value_C, shard.num_samples)
    count_N = np.bincount(sample_C, minlength=shard.num_samples)
    mean_N = np.full(len(sum_N), np.nan)
    np.divide(sum_N, count_N, out=mean_N, where=count_N > 0)
    return mean_N


def _bisected(perplexity_N: Float64s, entropy_N: Float64s, sample_share: float) -> Int64s:
    """Return the reasons at the smallest t that keeps enough samples, to within 2^-21."""
    low, high = 0.0, 0.5
    for _ in range(_NUM_HALVINGS):
        middle = (low + high) / 2
        reason_N = _reasons(perplexity_N, entropy_N, middle)
        if np.mean(reason_N <= _TOKEN) >= sample_share:
            high = middle
        else:
            low = middle
    return _reasons(perplexity_N, entropy_N, high)


def _reasons(perplexity_N: Float64s, entropy_N: Float64s, t: float) -> Int64s:
    low_perplexity, high_perplexity = np.quantile(perplexity_N, (t, 1 - t))
    low_entropy, high_entropy = np.quantile(entropy_N, (t, 1 - t))
    hard_N, easy_N = perplexity_N >= high_perplexity, perplexity_N <= low_perplexity
    unsure_N, sure_N = entropy_N >= high_entropy, entropy_N <= low_entropy
    quadrants = (hard_N & sure_N, easy_N & unsure_N, hard_N & unsure_N, easy_N & sure_N)
    return np.select(quadrants, (_TOKEN, _KEPT, _NOISE, _REDUNDANT), _BETWEEN)


def q_tuning(parameters: QTuningParameters) -> Method:
    """Return the method with these shares."""
    return Method(
        name="q-tuning",
        source="Q-Tuning, arXiv 2509.23873, its project page; no parity is claimed",
        summary="keeps, at every step, the samples that mislead the model in training or find it "
        "unsure, of the former the tokens of low perplexity only",
        judge=partial(judge, parameters),
        columns={CURRENT: ("nll", "entropy")},
        direction="test",
        parameters=parameters,
        configured=q_tuning,
        reasons=("token", "noise", "redundant", "between"),
    )


Q_TUNING = q_tuning(QTuningParameters())
