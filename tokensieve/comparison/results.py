"""The evaluated arms of a comparison, and one row for each arm over its seeds."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

from tokensieve.comparison.intervals import Difference, paired_difference

RANDOM, FULL = "random", "full"
SAME_RATE = 0.006
"""Kept shares that differ by no more are the same rate: names of shares have two decimals."""


@dataclass(frozen=True)
class Metric:
    """What arms are compared by."""

    key: str
    """`loss`, `exact_match`, or a key of ArmResult.tasks."""
    name: str
    """As a title begins."""
    unit: str
    """Empty: a plain number."""
    lower_is_better: bool


LOSS = Metric("loss", "Held-out loss", "nats per token", lower_is_better=True)
EXACT_MATCH = Metric("exact_match", "Exact match", "", lower_is_better=False)


def task_metric(key: str, lower_is_better: bool) -> Metric:
    """Return the metric of an lm-eval figure, named TASK/METRIC or TASK/METRIC,FILTER."""
    return Metric(key, key, "", lower_is_better)


@dataclass(frozen=True)
class ArmResult:
    """One arm, trained with one seed and evaluated."""

    arm: str
    seed: int
    loss: float
    """Held-out, in nats per response token."""
    exact_match: float | None
    """Share of held-out samples. None: nothing was generated."""
    tasks: dict[str, float]
    """Figures of lm-eval tasks by name."""
    kept_share: float
    """Share of the corpus's response tokens that were trained on."""
    forward_passes: float
    """Cost of selecting and training, in forward passes over the corpus."""
    seconds: float | None
    """The same on the clock. None: not known."""

    def value(self, metric: Metric) -> float | None:
        """Return what the metric says of the arm, None if it says nothing."""
        if metric == LOSS:
            return self.loss
        return self.exact_match if metric == EXACT_MATCH else self.tasks.get(metric.key)


@dataclass(frozen=True)
class ArmRow:
    """One arm over its seeds, by one metric."""

    arm: str
    values: tuple[float, ...]
    """One for each seed that the metric says something of, in the order of the seeds."""
    mean: float
    spread: float | None
    """Sample standard deviation over the seeds. None: there is one."""
    versus: dict[str, Difference | None]
    """Arm minus `full`, and minus `random` at the arm's own rate: at another, a difference would be
    the rate's as much as the choice's. None: no seed in common, no random at that rate, or it is
    that arm itself."""
    forward_passes: float
    """Mean over all its seeds."""
    extra_compute: float | None
    """forward_passes relative to those of `full`: 1.5 is half as much again. None: no `full`."""
    seconds: float | None
    """Mean over all its seeds. None: not known of all."""

    @property
    def num_seeds(self) -> int:
        """Return for how many seeds there is a value."""
        return len(self.values)


def compare_arms(results: Sequence[ArmResult], metric: Metric) -> list[ArmRow]:
    """Return a row for each arm that the metric says something of, in the order of `results`."""
    by_arm: dict[str, dict[int, ArmResult]] = defaultdict(dict)
    for result in results:
        assert result.seed not in by_arm[result.arm], f"two results of {result.arm}, {result.seed}"
        by_arm[result.arm][result.seed] = result
    values = {arm: _values(seeds, metric) for arm, seeds in by_arm.items()}
    by_chance = {arm: _values(seeds, metric) for arm, seeds in _controls(results).items()}
    passes = {arm: _mean_passes(list(seeds.values())) for arm, seeds in by_arm.items()}
    full = passes.get(FULL)
    return [
        ArmRow(
            arm=arm,
            values=tuple(values[arm].values()),
            mean=fmean(values[arm].values()),
            spread=stdev(values[arm].values()) if len(values[arm]) > 1 else None,
            versus={
                RANDOM: paired_difference(values[arm], by_chance.get(arm, {})),
                FULL: paired_difference(values[arm], values.get(FULL, {})) if arm != FULL else None,
            },
            forward_passes=passes[arm],
            extra_compute=passes[arm] / full if full else None,
            seconds=_mean_seconds(list(seeds.values())),
        )
        for arm, seeds in by_arm.items()
        if values[arm]
    ]


def is_random(arm: str) -> bool:
    """Return whether the arm draws its tokens: `random`, or `random@share`."""
    return arm.partition("@")[0] == RANDOM


def control_of(result: ArmResult, results: Sequence[ArmResult]) -> ArmResult | None:
    """Return random with the seed and rate of an arm, of several the nearest; None if it is random,
    or there is none.
    """
    drawn = [each for each in results if is_random(each.arm) and each.seed == result.seed]
    if is_random(result.arm) or not drawn:
        return None
    nearest = min(drawn, key=lambda each: abs(each.kept_share - result.kept_share))
    return nearest if abs(nearest.kept_share - result.kept_share) <= SAME_RATE else None


def missing_controls(results: Sequence[ArmResult]) -> dict[str, str]:
    """Return, by arm, the random arm at its rate that is not among the results.

    What keeps every token has `full` for that, and what keeps none nothing.
    """
    shares: dict[str, list[float]] = defaultdict(list)
    for result in results:
        is_choice = SAME_RATE < result.kept_share < 1 - SAME_RATE and not is_random(result.arm)
        if is_choice and control_of(result, results) is None:
            shares[result.arm].append(result.kept_share)
    return {arm: f"{RANDOM}@{fmean(each):.2f}" for arm, each in shares.items()}


def _controls(results: Sequence[ArmResult]) -> dict[str, dict[int, ArmResult]]:
    """Return the control of each arm and seed that has one."""
    found: dict[str, dict[int, ArmResult]] = defaultdict(dict)
    for result in results:
        control = control_of(result, results)
        if control is not None:
            found[result.arm][result.seed] = control
    return found


def _values(seeds: dict[int, ArmResult], metric: Metric) -> dict[int, float]:
    """Return the arm's values by seed, in the order of the seeds."""
    values = {seed: seeds[seed].value(metric) for seed in sorted(seeds)}
    return {seed: value for seed, value in values.items() if value is not None}


def _mean_passes(results: Sequence[ArmResult]) -> float:
    return fmean(result.forward_passes for result in results)


def _mean_seconds(results: Sequence[ArmResult]) -> float | None:
    known = [result.seconds for result in results if result.seconds is not None]
    return fmean(known) if len(known) == len(results) else None
