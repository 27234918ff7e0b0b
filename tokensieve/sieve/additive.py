"""Log-odds as a sum over signals, each of which can only speak one way.

A generalised additive model (Hastie and Tibshirani, 1986) of a logistic regression: the curve of a
signal is linear between knots and never falls in the direction of its sign. So what happens to be
common in the noise of one corpus cannot turn a signal around.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from tokensieve.corpus import Bools, Float64s
from tokensieve.sieve.signals import SIGNALS

_QUANTILES = (0.005, 0.05, 0.2, 0.4, 0.6, 0.8, 0.9, 0.95, 0.98, 0.995, 0.999)
_RIDGE = 10.0
_MAX_STEPS = 60
_TOLERANCE = 1e-9
_DECIMALS = 6
"""Of the curves: what rounding leaves of other orders of summation does not reach a decision."""


@dataclass(frozen=True)
class Additive:
    """A curve for each signal, and what is added to their sum."""

    knots: tuple[Float64s, ...]
    """For each of the S signals: values of sign x signal, rising."""
    heights: tuple[Float64s, ...]
    """What the signal adds at its knots, in nats: from 0, never falling. Outside as at the ends."""
    intercept: float

    def contributions(self, signals_SC: Float64s) -> Float64s:
        """Return what each signal adds, in nats; 0 where it has no say."""
        added_SC = np.zeros_like(signals_SC)
        for signal, values_C in enumerate(signals_SC):
            says_C = ~np.isnan(values_C)
            oriented = SIGNALS[signal].sign * values_C[says_C]
            added_SC[signal, says_C] = np.interp(oriented, self.knots[signal], self.heights[signal])
        return added_SC

    def log_odds(self, contributions_SC: Float64s) -> Float64s:
        """Return the sum over signals, in nats."""
        log_odds_C = np.full(contributions_SC.shape[1], self.intercept)
        for added_C in contributions_SC:  # one after another: the same bits on every machine
            log_odds_C += added_C
        return log_odds_C


def quantile_knots(signals_SC: Float64s) -> tuple[Float64s, ...]:
    """Return the knots of each signal: quantiles of its values, without what comes twice."""
    return tuple(
        _quantiles(signal.sign * values_C)
        for signal, values_C in zip(SIGNALS, signals_SC, strict=True)
    )


def fit_additive(
    signals_SR: Float64s,
    is_noise_R: Bools,
    weight_R: Float64s,
    knots: Sequence[Float64s],
) -> Additive:
    """Return the curves with the smallest logistic loss, by Newton steps over rising curves.

    The loss is the weighted sum over rows, with a ridge on the steps between knots. It is convex,
    and its only minimum is looked for to nine digits of the loss.
    """
    design_RJ, sizes = _design(signals_SR, knots)
    fit = _Fit(design_RJ, is_noise_R.astype(np.float64), weight_R)
    fit.run()
    steps_J = np.round(fit.steps_J, _DECIMALS)
    heights = [np.cumsum(each) for each in np.split(steps_J, np.cumsum(sizes)[:-1])]
    return Additive(tuple(knots), tuple(heights), round(fit.intercept, _DECIMALS))


def _quantiles(values: Float64s) -> Float64s:
    said = values[~np.isnan(values)]
    return np.unique(np.quantile(said, _QUANTILES)) if len(said) else np.zeros(1)


def _design(signals_SR: Float64s, knots: Sequence[Float64s]) -> tuple[Float64s, list[int]]:
    """Return how much of each step a row has climbed, 0 to 1, and the steps of each signal.

    The first step of a signal is climbed by having a say at all.
    """
    columns, sizes = [], []
    for signal, values_R, at in zip(SIGNALS, signals_SR, knots, strict=True):
        says_R = ~np.isnan(values_R)
        oriented_R = np.where(says_R, signal.sign * values_R, at[0])
        climbed = [np.clip((oriented_R - low) / (high - low), 0, 1) for low, high in pairwise(at)]
        columns += [says_R.astype(np.float64), *climbed]
        sizes.append(len(at))
    return np.stack(columns, axis=1), sizes


class _Fit:
    """Newton steps of a logistic regression whose coefficients are not below 0."""

    def __init__(self, design_RJ: Float64s, target_R: Float64s, weight_R: Float64s) -> None:
        self._design_RJ = design_RJ
        self._target_R = target_R
        self._weight_R = weight_R
        self.steps_J = np.zeros(design_RJ.shape[1])
        self.intercept = float(np.log(weight_R @ target_R / (weight_R @ (1 - target_R))))
        self._loss = self._loss_at(self.steps_J, self.intercept)

    def run(self) -> None:
        """Go on until the loss does not fall any more."""
        for _ in range(_MAX_STEPS):
            before = self._loss
            self._step()
            if before - self._loss <= _TOLERANCE * before:
                return

    def _step(self) -> None:
        """Take the longest of ever shorter steps that does not make the loss worse."""
        free, change, change_of_intercept = self._newton()
        size = 1.0
        while size > 2.0**-20:
            steps_J = self.steps_J.copy()
            steps_J[free] = np.maximum(steps_J[free] - size * change, 0)
            intercept = self.intercept - size * change_of_intercept
            loss = self._loss_at(steps_J, intercept)
            if loss <= self._loss:
                self.steps_J, self.intercept, self._loss = steps_J, intercept, loss
                return
            size /= 2

    def _newton(self) -> tuple[Bools, Float64s, float]:
        """Return which coefficients may move, and the Newton step of them and the intercept."""
        chance_R = 1 / (1 + np.exp(-self._log_odds(self.steps_J, self.intercept)))
        error_R = self._weight_R * (chance_R - self._target_R)
        slope_J = error_R @ self._design_RJ + _RIDGE * self.steps_J
        free = (self.steps_J > 0) | (slope_J < 0)
        rows_RF = np.column_stack([self._design_RJ[:, free], np.ones(len(error_R))])
        curvature_R = self._weight_R * chance_R * (1 - chance_R)
        bend = (rows_RF * curvature_R[:, None]).T @ rows_RF
        bend[np.diag_indices(len(bend) - 1)] += _RIDGE
        change = np.linalg.solve(bend, np.append(slope_J[free], error_R.sum()))
        return free, change[:-1], float(change[-1])

    def _loss_at(self, steps_J: Float64s, intercept: float) -> float:
        log_odds_R = self._log_odds(steps_J, intercept)
        loss_R = np.logaddexp(0, log_odds_R) - self._target_R * log_odds_R
        return float(self._weight_R @ loss_R + _RIDGE / 2 * (steps_J @ steps_J))

    def _log_odds(self, steps_J: Float64s, intercept: float) -> Float64s:
        log_odds_R: Float64s = self._design_RJ @ steps_J + intercept
        return log_odds_R
