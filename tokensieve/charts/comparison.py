"""Every arm of a comparison, and how far it is from random."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tokensieve.charts.canvas import (
    BLUE,
    GREY,
    INK,
    VERMILLION,
    WIDTH,
    ImageFormat,
    rendered,
    say_empty,
)
from tokensieve.comparison import Metric

_ROW_HEIGHT = 0.42
_REST_HEIGHT = 1.1


@dataclass(frozen=True)
class ArmPoint:
    """One arm: its value for each seed, and its mean paired difference from random."""

    arm: str
    values: tuple[float, ...]
    """By seed; at least one."""
    difference: float | None
    """Arm minus random at the arm's own rate. None: it is random, or there is none to compare."""
    interval: tuple[float, float] | None
    """The 95 % interval of the difference, low and high. None: too few seeds."""


def comparison_chart(
    rows: Sequence[ArmPoint], metric: Metric, format: ImageFormat = "png"
) -> bytes:
    """Return a picture of the arms, the best on top: every seed, the mean, and the difference."""
    return rendered(lambda figure: draw_comparison_chart(figure, rows, metric), format)


def draw_comparison_chart(figure: Figure, rows: Sequence[ArmPoint], metric: Metric) -> None:
    """Draw two panels beside each other: values by seed, and differences from random."""
    figure.set_size_inches(WIDTH, _REST_HEIGHT + _ROW_HEIGHT * len(rows))
    left, right = figure.subplots(1, 2, sharey=True)
    best_first = sorted(rows, key=_mean, reverse=not metric.lower_is_better)
    for place, row in enumerate(best_first):
        _draw_values(left, place, row)
        _draw_difference(right, place, row, metric)
    if all(row.difference is None for row in rows):
        say_empty(right)
    _label(left, right, metric)
    left.set_yticks(range(len(rows)), [row.arm for row in best_first])
    left.set_ylim(len(rows) - 0.5, -0.5)


def _mean(row: ArmPoint) -> float:
    return fmean(row.values)


def _draw_values(panel: Axes, place: int, row: ArmPoint) -> None:
    """Draw a dot for each seed, and a stroke at their mean."""
    heights = [place] * len(row.values)
    panel.plot(row.values, heights, "o", color=GREY, alpha=0.6, markeredgewidth=0)
    panel.plot([_mean(row)], [place], "|", color=INK, markersize=16, markeredgewidth=2)


def _draw_difference(panel: Axes, place: int, row: ArmPoint, metric: Metric) -> None:
    """Draw the difference and its interval in the colour of what they show; hollow without one."""
    if row.difference is None:
        return
    colour = _colour(row, metric)
    if row.interval is not None:
        panel.hlines(place, *row.interval, color=colour, linewidth=5, alpha=0.4)
    face = colour if row.interval is not None else "white"
    panel.plot([row.difference], [place], "o", color=colour, markerfacecolor=face)


def _colour(row: ArmPoint, metric: Metric) -> str:
    """Return blue for better than random beyond the interval, vermillion for worse, else grey."""
    low, high = row.interval or (0.0, 0.0)
    if low <= 0.0 <= high:
        return GREY
    return BLUE if (high < 0.0) == metric.lower_is_better else VERMILLION


def _label(left: Axes, right: Axes, metric: Metric) -> None:
    unit = f" ({metric.unit})" if metric.unit else ""
    direction = "lower" if metric.lower_is_better else "higher"
    left.set_title(f"{metric.name}: {direction} is better")
    left.set_xlabel(f"each seed, and the mean{unit}")
    arrow = (
        "\N{LEFTWARDS ARROW} better" if metric.lower_is_better else "better \N{RIGHTWARDS ARROW}"
    )
    right.set_title("Difference from random at its rate, 95 % interval")
    right.set_xlabel(f"arm minus random{unit}   {arrow}")
    right.axvline(0.0, color=INK, linewidth=1)
    for panel in (left, right):
        panel.margins(x=0.06)
        panel.grid(axis="x")
        panel.tick_params(axis="y", length=0)
        panel.spines["left"].set_visible(False)
