"""The shapes of the page's charts. Across in percent of the width, so that text keeps its size on a
phone; down in pixels from the top.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tokensieve.report.distribution import Bin, Distribution
from tokensieve.report.findings import Row

HEIGHT = 200.0
"""Pixels of a chart without its labels."""
_NUM_TICKS = 5
_MAX_ROUND_TICKS = 12
_STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)


@dataclass(frozen=True)
class Tick:
    """A label on an axis."""

    place: float
    label: str


@dataclass(frozen=True)
class Column:
    """The bar of a bin: what was kept stands on the ground, what was not on top of it."""

    x: float
    width: float
    y: float
    """Top of the whole bar."""
    kept_y: float
    """Top of the kept part."""
    bin: Bin


@dataclass(frozen=True)
class Histogram:
    """A drawn distribution."""

    columns: Sequence[Column]
    ticks: Sequence[Tick]
    heights: Sequence[Tick]
    mark: Tick | None
    """Where the selection ends."""
    distribution: Distribution


@dataclass(frozen=True)
class Point:
    """A round in a line."""

    x: float
    y: float
    marker: str
    """dot, or cross for a model that was rejected."""
    label: str


@dataclass(frozen=True)
class Line:
    """One number over the rounds; gaps where it is not known."""

    name: str
    points: Sequence[Point | None]


@dataclass(frozen=True)
class Panel:
    """Lines over the rounds, on one scale."""

    title: str
    unit: str
    lines: Sequence[Line]
    heights: Sequence[Tick]
    ticks: Sequence[Tick]


def histogram(distribution: Distribution, threshold: float | None) -> Histogram:
    """Return the distribution drawn, with the number at which the selection ends marked."""
    bins = distribution.bins
    low, high = bins[0].lower, bins[-1].upper
    heights = nice_ticks(0.0, float(max(each.tokens for each in bins)))
    top = heights[-1]
    width = 100.0 / len(bins)
    columns = [
        Column(
            x=n * width,
            width=width,
            y=_down(each.tokens, 0.0, top),
            kept_y=_down(each.kept_tokens, 0.0, top),
            bin=each,
        )
        for n, each in enumerate(bins)
    ]
    labels = [tick for tick in nice_ticks(low, high) if low <= tick <= high]
    is_inside = threshold is not None and low <= threshold <= high
    return Histogram(
        columns=columns,
        ticks=[Tick(_across(tick, low, high), _label(tick)) for tick in labels],
        heights=[Tick(_down(tick, 0.0, top), f"{tick:,.0f}") for tick in heights],
        mark=Tick(_across(threshold, low, high), _label(threshold))
        if is_inside and threshold is not None
        else None,
        distribution=distribution,
    )


def rounds_panels(rounds: Sequence[Row]) -> list[Panel]:
    """Return what rounds found, over rounds: losses and influence in nats, and shares."""
    panels = [
        _panel("Held-out loss", "nats", rounds, {"after the round": "loss_after"}),
        _panel(
            "Shares of the tokens",
            "share",
            rounds,
            {"kept": "kept_share", "positive influence": "positive_share", "overlap": "overlap"},
        ),
        _panel(
            "Influence",
            "nats",
            rounds,
            {"95th percentile": "influence_p95", "median": "influence_p50", "5th": "influence_p05"},
        ),
    ]
    return [panel for panel in panels if panel.lines]


def nice_ticks(low: float, high: float) -> list[float]:
    """Return about five round numbers from at most `low` to at least `high`."""
    span = high - low or abs(high) or 1.0
    power = 10.0 ** math.floor(math.log10(span / _NUM_TICKS))
    step = next(power * each for each in _STEPS if power * each * _NUM_TICKS >= span * (1 - 1e-9))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [number * step for number in range(first, max(last, first + 1) + 1)]


def _panel(title: str, unit: str, rounds: Sequence[Row], columns: dict[str, str]) -> Panel:
    known = {name: field for name, field in columns.items() if _values(rounds, [field])}
    values = _values(rounds, known.values())
    if not values:
        return Panel(title, unit, [], [], [])
    low, high = (0.0, 1.0) if unit == "share" else (min(values), max(values))
    heights = nice_ticks(low, high)
    low, high = heights[0], heights[-1]
    places = [100.0 * (n + 0.5) / len(rounds) for n in range(len(rounds))]
    lines = [
        Line(
            name, [_point(row, field, x, low, high) for row, x in zip(rounds, places, strict=True)]
        )
        for name, field in known.items()
    ]
    ticks = [Tick(x, f"{row['round']}") for row, x in zip(rounds, places, strict=True)]
    labels = [Tick(_down(each, low, high), _label(each)) for each in heights]
    return Panel(title, unit, lines, labels, ticks)


def _values(rounds: Sequence[Row], fields: Iterable[str]) -> list[float]:
    return [row[field] for field in fields for row in rounds if row[field] is not None]


def _point(row: Row, field: str, x: float, low: float, high: float) -> Point | None:
    if row[field] is None:
        return None
    is_rejected = field == "loss_after" and row["promoted"] is False
    label = f"round {row['round']}: {row[field]:.4g}{', rejected' if is_rejected else ''}"
    return Point(x, _down(row[field], low, high), "cross" if is_rejected else "dot", label)


def _label(value: float) -> str:
    return f"{value:.3g}".replace("-", "\N{MINUS SIGN}")


def _across(value: float, low: float, high: float) -> float:
    return 100.0 * (value - low) / (high - low)


def _down(value: float, low: float, high: float) -> float:
    return HEIGHT * (1.0 - (value - low) / (high - low))
