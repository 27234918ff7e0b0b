"""Every method of a benchmark: how well it finds noise, and what its choice is worth."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tokensieve.charts.canvas import (
    BLUE,
    GREEN,
    GREY,
    INK,
    PURPLE,
    VERMILLION,
    WIDTH,
    ImageFormat,
    rendered,
    say_empty,
)

_ROW_HEIGHT = 0.36
_REST_HEIGHT = 1.5
_STRAIGHT = 0.1
"""Nats up to which the scale of losses is straight; beyond, it is logarithmic."""
_TICKS = (-1.0, -0.1, -0.05, 0.0, 0.05, 0.1, 1.0)
_MARKS = (("o", BLUE), ("s", VERMILLION), ("^", GREEN), ("D", PURPLE))
"""Of the kinds of noise in order: told apart by form, not by colour alone."""


@dataclass(frozen=True)
class MethodPoint:
    """One method."""

    method: str
    auroc: Mapping[str, float]
    """By kind of noise, NaN if there was none; empty if it was not looked for."""
    mean_auroc: float | None
    difference: float | None
    """Held-out loss minus that of random at the same rate, in nats. None: not compared."""
    interval: tuple[float, float] | None
    """The 95 % interval of the difference, low and high. None: too few seeds."""


def benchmark_chart(points: Sequence[MethodPoint], format: ImageFormat = "png") -> bytes:
    """Return a picture of the methods, those that find noise best on top."""
    return rendered(lambda figure: draw_benchmark_chart(figure, points), format)


def draw_benchmark_chart(figure: Figure, points: Sequence[MethodPoint]) -> None:
    """Draw two panels beside each other: AUROC by kind, and the loss against random."""
    figure.set_size_inches(WIDTH, _REST_HEIGHT + _ROW_HEIGHT * len(points))
    left, right = figure.subplots(1, 2, sharey=True)
    best_first = sorted(points, key=lambda point: -(point.mean_auroc or 0.0))
    for place, point in enumerate(best_first):
        _draw_auroc(left, place, point)
        _draw_difference(right, place, point)
    if all(point.difference is None for point in points):
        say_empty(right)
    _label(left, right)
    left.set_yticks(range(len(points)), [point.method for point in best_first])
    left.set_ylim(len(points) - 0.5, -0.5)
    handles, names = left.get_legend_handles_labels()
    if handles:
        figure.legend(handles, names, loc="outside lower center", ncols=len(names))


def _draw_auroc(panel: Axes, place: int, point: MethodPoint) -> None:
    """Draw a mark for each kind, and a stroke at their mean."""
    for (kind, value), (form, colour) in zip(point.auroc.items(), _MARKS, strict=False):
        label = kind.replace("_", " ") if place == 0 else None
        panel.plot([value], [place], form, color=colour, markersize=5.5, label=label)
    if point.mean_auroc is not None:
        panel.plot([point.mean_auroc], [place], "|", color=INK, markersize=15, markeredgewidth=2)


def _draw_difference(panel: Axes, place: int, point: MethodPoint) -> None:
    if point.difference is None:
        return
    colour = _colour(point)
    if point.interval is not None:
        panel.hlines(place, *point.interval, color=colour, linewidth=5, alpha=0.4)
    face = colour if point.interval is not None else "white"
    panel.plot([point.difference], [place], "o", color=colour, markerfacecolor=face)


def _colour(point: MethodPoint) -> str:
    """Return blue for a loss below random's beyond the interval, vermillion above it, else grey."""
    low, high = point.interval or (0.0, 0.0)
    if low <= 0.0 <= high:
        return GREY
    return BLUE if high < 0.0 else VERMILLION


def _label(left: Axes, right: Axes) -> None:
    left.set_title("Finding planted noise")
    left.set_xlabel("AUROC by kind, and the mean   better \N{RIGHTWARDS ARROW}")
    left.axvline(0.5, color=INK, linewidth=1)
    left.set_xlim(-0.03, 1.03)
    right.set_title("Training on the choice")
    right.set_xlabel("loss minus random's at its rate (nats)   \N{LEFTWARDS ARROW} better")
    right.set_xscale("symlog", linthresh=_STRAIGHT, linscale=2.0)
    right.set_xticks(_TICKS, [f"{tick:g}" for tick in _TICKS])
    right.axvline(0.0, color=INK, linewidth=1)
    for panel in (left, right):
        panel.margins(x=0.06)
        panel.grid(axis="x")
        panel.tick_params(axis="y", length=0)
        panel.spines["left"].set_visible(False)
