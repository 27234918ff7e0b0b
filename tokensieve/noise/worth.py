"""What each method of a benchmark found of the planted noise, and what its choice was worth."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

from tokensieve.comparison import FULL, LOSS, RANDOM, ArmResult, ArmRow, Difference, compare_arms
from tokensieve.comparison.tables import aligned, as_markdown, difference_text, number_text
from tokensieve.noise.finding import Finding, mean_known
from tokensieve.noise.planting import KINDS

FOUND_COLUMNS = ("method", "kept", *(kind.replace("_", " ") for kind in KINDS))
FOUND_NOTE = (
    "AUROC of telling noise from clean tokens, by kind of noise: 0.5 is chance, below it the "
    "method prefers the noise. precision: noise among the dropped; recall: dropped among the "
    "noise. mean and recall are over the kinds that could be planted; -: nothing to count. "
    "A method that only tells kept from dropped, by a test or in training, has the AUROC of these "
    "two values, and ties count half: one that ranks has more to show."
)
WORTH_NOTE = (
    "Held-out loss in nats per token. Random keeps the same share as the method it is compared "
    "with, to 1 % and over the whole dataset, also where the method keeps a share of each sample. "
    "+-: half the 95 % interval of the differences paired by seed."
)


@dataclass(frozen=True)
class MethodRow:
    """One method over the seeds."""

    arm: str
    kept_share: float
    auroc: Mapping[str, float]
    """By kind of noise, the mean over seeds, NaN if it was never planted; empty if it was not
    looked for."""
    mean_auroc: float | None
    """Over the kinds that were planted."""
    auroc_spread: float | None
    """Sample standard deviation of that mean over the seeds."""
    precision: float | None
    recall: float | None
    """Mean over the kinds that were planted."""
    loss: float
    loss_spread: float | None
    versus_random: Difference | None
    """At the same rate. None: it is random, or there is none at its rate."""
    versus_full: Difference | None
    exact_match: float | None
    forward_passes: float
    seconds: float | None


def method_rows(
    results: Sequence[ArmResult], found: Mapping[tuple[str, int], Finding]
) -> list[MethodRow]:
    """Return a row for each arm, in the order of `results`; `found` by arm and seed."""
    return [
        _row(row, [each for each in results if each.arm == row.arm], found)
        for row in compare_arms(results, LOSS)
    ]


def _row(
    compared: ArmRow, mine: Sequence[ArmResult], found: Mapping[tuple[str, int], Finding]
) -> MethodRow:
    arm = compared.arm
    findings = [found[arm, each.seed] for each in mine if (arm, each.seed) in found]
    means = _known([each.mean_auroc for each in findings])
    return MethodRow(
        arm=arm,
        kept_share=fmean(each.kept_share for each in mine),
        auroc={kind: mean_known([f.auroc[kind] for f in findings]) for kind in KINDS if findings},
        mean_auroc=_mean(means),
        auroc_spread=stdev(means) if len(means) > 1 else None,
        precision=_mean([each.precision for each in findings]),
        recall=_mean([each.mean_recall for each in findings]),
        loss=compared.mean,
        loss_spread=compared.spread,
        versus_random=compared.versus[RANDOM],
        versus_full=compared.versus[FULL],
        exact_match=_mean([each.exact_match for each in mine if each.exact_match is not None]),
        forward_passes=compared.forward_passes,
        seconds=compared.seconds,
    )


def _known(values: Sequence[float]) -> list[float]:
    return [value for value in values if not math.isnan(value)]


def _mean(values: Sequence[float]) -> float | None:
    known = _known(values)
    return fmean(known) if known else None


def found_lines(rows: Sequence[MethodRow]) -> list[tuple[str, ...]]:
    """Return what the methods found as cells, the best first, below a line of headings."""
    looked_for = [row for row in rows if row.mean_auroc is not None]
    looked_for.sort(key=lambda row: -(row.mean_auroc or 0))
    lines: list[tuple[str, ...]] = [(*FOUND_COLUMNS, "mean", "spread", "precision", "recall")]
    for row in looked_for:
        shares = [_text(row.auroc[kind]) for kind in KINDS]
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
    parts = [aligned(found_lines(rows)), _found_note(rows), aligned(worth_lines(rows)), WORTH_NOTE]
    return "\n\n".join(parts)


def benchmark_markdown(rows: Sequence[MethodRow]) -> str:
    """Return both tables as markdown."""
    parts = [as_markdown(found_lines(rows)), _found_note(rows)]
    parts += [as_markdown(worth_lines(rows)), WORTH_NOTE]
    return "\n\n".join(parts)


def _found_note(rows: Sequence[MethodRow]) -> str:
    """Return what the figures mean, and which kinds of noise the data did not allow."""
    found = [row.auroc for row in rows if row.auroc]
    missing = [kind for kind in KINDS if found and all(math.isnan(each[kind]) for each in found)]
    if not missing:
        return FOUND_NOTE
    names = ", ".join(kind.replace("_", " ") for kind in missing)
    return f"{FOUND_NOTE} These data allowed no noise of the kind: {names}."


def _text(value: float | None) -> str:
    return "-" if value is None or math.isnan(value) else f"{value:.3f}"
