"""What each method of a benchmark found of the planted noise, and what its choice was worth."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

from tokensieve.comparison import ArmResult, Difference, paired_difference
from tokensieve.comparison.tables import aligned, as_markdown, difference_text, number_text
from tokensieve.noise.finding import Finding
from tokensieve.noise.planting import KINDS

SAME_RATE = 0.005
"""Shares that differ by less are the same rate."""
FOUND_COLUMNS = ("method", "kept", *(kind.replace("_", " ") for kind in KINDS))
FOUND_NOTE = (
    "AUROC of telling noise from clean tokens, by kind of noise: 0.5 is chance, below it the "
    "method prefers the noise. precision: noise among the dropped; recall: dropped among the noise."
)
WORTH_NOTE = (
    "Held-out loss in nats per token. Random keeps the same share as the method it is compared "
    "with. +-: half the 95 % interval of the differences paired by seed."
)


@dataclass(frozen=True)
class MethodRow:
    """One method over the seeds."""

    arm: str
    kept_share: float
    auroc: Mapping[str, float]
    """By kind of noise, the mean over seeds; empty if it was not looked for."""
    mean_auroc: float | None
    """Over the kinds."""
    auroc_spread: float | None
    """Sample standard deviation of that mean over the seeds."""
    precision: float | None
    recall: float | None
    """Mean over the kinds."""
    loss: float
    loss_spread: float | None
    versus_random: Difference | None
    """At the same rate. None: it is random, or there is none at its rate."""
    versus_full: Difference | None
    exact_match: float | None
    forward_passes: float
    seconds: float | None


def random_arm(keep: float, share: float) -> str:
    """Return the name of the arm that draws as many tokens as a method kept."""
    return "random" if abs(share - keep) <= SAME_RATE else f"random@{share:.2f}"


def own_rates(keep: float, results: Sequence[ArmResult]) -> list[str]:
    """Return the random arms that methods with a rate of their own are to be compared with."""
    shares = [each.kept_share for each in results if each.arm not in ("full", "self-evolving")]
    arms = {random_arm(keep, share) for share in shares if share < 1 - SAME_RATE}
    return sorted(arms - {"random"})


def method_rows(
    keep: float, results: Sequence[ArmResult], found: Mapping[tuple[str, int], Finding]
) -> list[MethodRow]:
    """Return a row for each arm, in the order of `results`; `found` by arm and seed."""
    arms = {arm: _by_seed(results, arm) for arm in dict.fromkeys(each.arm for each in results)}
    return [_row(keep, arm, arms, found) for arm in arms]


def _by_seed(results: Sequence[ArmResult], arm: str) -> dict[int, ArmResult]:
    return {each.seed: each for each in results if each.arm == arm}


def _row(
    keep: float,
    arm: str,
    arms: Mapping[str, Mapping[int, ArmResult]],
    found: Mapping[tuple[str, int], Finding],
) -> MethodRow:
    mine = arms[arm]
    losses = {seed: each.loss for seed, each in mine.items()}
    findings = [found[arm, seed] for seed in mine if (arm, seed) in found]
    means = [each.mean_auroc for each in findings]
    share = fmean(each.kept_share for each in mine.values())
    exact = [each.exact_match for each in mine.values() if each.exact_match is not None]
    seconds = [each.seconds for each in mine.values() if each.seconds is not None]
    return MethodRow(
        arm=arm,
        kept_share=share,
        auroc={kind: fmean(f.auroc[kind] for f in findings) for kind in KINDS if findings},
        mean_auroc=fmean(means) if means else None,
        auroc_spread=stdev(means) if len(means) > 1 else None,
        precision=_mean([each.precision for each in findings]),
        recall=_mean([fmean(each.recall.values()) for each in findings]),
        loss=fmean(losses.values()),
        loss_spread=stdev(losses.values()) if len(losses) > 1 else None,
        versus_random=_against_random(keep, arm, arms),
        versus_full=_against("full", arm, arms),
        exact_match=_mean(exact),
        forward_passes=fmean(each.forward_passes for each in mine.values()),
        seconds=_mean(seconds),
    )


def _mean(values: Sequence[float]) -> float | None:
    known = [value for value in values if not math.isnan(value)]
    return fmean(known) if known else None


def _against(
    control: str, arm: str, arms: Mapping[str, Mapping[int, ArmResult]]
) -> Difference | None:
    if arm == control or control not in arms:
        return None
    losses = ({seed: r.loss for seed, r in arms[name].items()} for name in (arm, control))
    return paired_difference(*losses)


def _against_random(
    keep: float, arm: str, arms: Mapping[str, Mapping[int, ArmResult]]
) -> Difference | None:
    """Return the difference from random at the rate that the arm kept with each seed."""
    if arm.partition("@")[0] == "random":
        return None
    mine, control = {}, {}
    for seed, result in arms[arm].items():
        drawn = arms.get(random_arm(keep, result.kept_share), {}).get(seed)
        if drawn is not None:
            mine[seed], control[seed] = result.loss, drawn.loss
    return paired_difference(mine, control)


def found_lines(rows: Sequence[MethodRow]) -> list[tuple[str, ...]]:
    """Return what the methods found as cells, the best first, below a line of headings."""
    looked_for = [row for row in rows if row.mean_auroc is not None]
    looked_for.sort(key=lambda row: -(row.mean_auroc or 0))
    lines: list[tuple[str, ...]] = [(*FOUND_COLUMNS, "mean", "spread", "precision", "recall")]
    for row in looked_for:
        shares = [f"{row.auroc[kind]:.3f}" for kind in KINDS]
        ends = [_text(row.mean_auroc), _text(row.auroc_spread), _text(row.precision)]
        lines.append((row.arm, f"{row.kept_share:.1%}", *shares, *ends, _text(row.recall)))
    return lines


def worth_lines(rows: Sequence[MethodRow]) -> list[tuple[str, ...]]:
    """Return what the methods are worth as cells, the best first, below a line of headings."""
    headings = ("method", "kept", "loss", "spread", "minus random", "minus full", "exact match")
    lines: list[tuple[str, ...]] = [(*headings, "passes", "sec")]
    for row in sorted(rows, key=lambda row: row.loss):
        differences = [difference_text(each) for each in (row.versus_random, row.versus_full)]
        lines.append(
            (
                row.arm,
                f"{row.kept_share:.1%}",
                number_text(row.loss),
                "-" if row.loss_spread is None else number_text(row.loss_spread),
                *differences,
                "-" if row.exact_match is None else f"{row.exact_match:.3f}",
                f"{row.forward_passes:.2f}",
                "-" if row.seconds is None else f"{row.seconds:.0f}",
            )
        )
    return lines


def benchmark_table(rows: Sequence[MethodRow]) -> str:
    """Return both tables for a terminal, in ASCII."""
    parts = [aligned(found_lines(rows)), FOUND_NOTE, aligned(worth_lines(rows)), WORTH_NOTE]
    return "\n\n".join(parts)


def benchmark_markdown(rows: Sequence[MethodRow]) -> str:
    """Return both tables as markdown."""
    parts = [as_markdown(found_lines(rows)), FOUND_NOTE]
    parts += [as_markdown(worth_lines(rows)), WORTH_NOTE]
    return "\n\n".join(parts)


def _text(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
