"""Numbers of many tokens as a few bins, cut where hardly any lie beyond."""

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tokensieve.report.findings import Row, ScoreBins

MAX_BINS = 48
_INFLUENCE_BIN = 0.25
"""Nats: the bins that the index keeps."""
_STEPS = (1.0, 2.0, 5.0)


@dataclass(frozen=True)
class Bin:
    """The tokens with a number from `lower` to below `upper`."""

    lower: float
    upper: float
    tokens: int
    kept_tokens: int


@dataclass(frozen=True)
class Distribution:
    """Bins from left to right, without a gap. The first and the last hold what lies beyond too."""

    bins: Sequence[Bin]
    unit: str
    """Of the numbers; empty if they have none."""


def bin_width(lowest: float, highest: float, smallest: float = 0.0) -> float:
    """Return the width, 1, 2 or 5 times a power of ten or of `smallest`, of at most MAX_BINS bins.

    0 if there is nothing between `lowest` and `highest`.
    """
    wanted = max((highest - lowest) / (MAX_BINS - 2), smallest)
    if not wanted > 0.0 or not math.isfinite(wanted):
        return 0.0
    unit = smallest or 10.0 ** math.floor(math.log10(wanted))
    return next(width for width in _widths(unit) if width >= wanted * (1 - 1e-9))


def bin_numbers(lowest: float, highest: float, width: float) -> tuple[int, int]:
    """Return the numbers of the bins in which `lowest` and `highest` lie."""
    return math.floor(lowest / width), math.floor(highest / width)


def influence_distribution(rows: Sequence[Row], stats: Row) -> Distribution | None:
    """Return the influences of a round from the 1st to the 99th percentile, in nats.

    None if no token has one. `rows` and `stats` are those of Findings.
    """
    if not rows:
        return None
    lowest, highest = stats["influence_p01"], stats["influence_p99"]
    width = bin_width(lowest, highest, _INFLUENCE_BIN)
    first, last = bin_numbers(lowest, highest, width)
    tokens, kept = Counter[int](), Counter[int]()
    for row in rows:
        number = max(first, min(last, math.floor(row["lower_edge"] / width)))
        tokens[number] += row["tokens"]
        kept[number] += row["kept_tokens"]
    return Distribution(_without_gaps(tokens, kept, width), "nats")


def score_distribution(found: ScoreBins | None) -> Distribution | None:
    """Return the numbers of a method, which have no unit that all methods share."""
    if found is None:
        return None
    tokens = Counter({row["bin"]: row["tokens"] for row in found.rows})
    kept = Counter({row["bin"]: row["kept_tokens"] for row in found.rows})
    return Distribution(_without_gaps(tokens, kept, found.width), "")


def _without_gaps(tokens: Counter[int], kept: Counter[int], width: float) -> list[Bin]:
    numbers = range(min(tokens), max(tokens) + 1)
    return [Bin(n * width, (n + 1) * width, tokens[n], kept[n]) for n in numbers]


def _widths(unit: float) -> Iterator[float]:
    while True:
        yield from (unit * step for step in _STEPS)
        unit *= 10.0
