"""The course of one training run, step by step. Shape: S = optimizer steps."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, MaxNLocator, StrMethodFormatter

from tokensieve.charts.canvas import (
    BLUE,
    GREY,
    WIDTH,
    Float64s,
    ImageFormat,
    rendered,
    whole_numbers,
)

_HEIGHT = 5.6
_PALE_BLUE = "#A6CBE3"
_PALE_GREY = "#D9D9D9"
_NUM_WINDOWS = 30
"""A mean of the smoothed line takes this part of the steps."""
_MIN_WINDOW = 5
"""A mean of fewer steps tells no more than they do."""
_MAX_BARS = 160
_MAX_DOTS = 100


@dataclass(frozen=True)
class StepPoint:
    """One optimizer step."""

    step: int
    loss: float | None
    """In nats; None: no token had a weight, so the step was skipped."""
    learning_rate: float
    kept_tokens: int


def loss_curve(steps: Sequence[StepPoint], format: ImageFormat = "png") -> bytes:
    """Return a picture of the loss (nats), learning rate and kept tokens of each step."""
    return rendered(lambda figure: draw_loss_curve(figure, steps), format)


def draw_loss_curve(figure: Figure, steps: Sequence[StepPoint]) -> None:
    """Draw three panels above each other: loss, learning rate, kept tokens."""
    figure.set_size_inches(WIDTH, _HEIGHT)
    top, middle, bottom = figure.subplots(3, sharex=True, height_ratios=[5, 1, 1])
    columns = [(p.step, p.loss, p.learning_rate, p.kept_tokens) for p in steps]
    step_S, loss_S, rate_S, kept_S = np.array(columns, dtype=np.float64).reshape(-1, 4).T
    _draw_loss(top, step_S, loss_S)
    _draw_line(middle, step_S, rate_S, color=GREY, clip_on=False)
    _draw_kept_tokens(bottom, step_S, kept_S)
    _label_small_panels(middle, bottom)


def running_mean(values_S: Float64s, window: int) -> Float64s:
    """Return the mean of the `window` (odd) values around each value; NaN where a value is NaN.

    Values that are NaN, or would lie beyond an end, take no part in a mean.
    """
    missing_S = np.isnan(values_S)
    around = np.ones(window)
    sums = np.convolve(np.where(missing_S, 0.0, values_S), around)
    counts = np.convolve((~missing_S).astype(np.float64), around)
    inner = slice(window // 2, window // 2 + len(values_S))
    return np.where(missing_S, np.nan, sums[inner] / np.maximum(counts[inner], 1.0))


def _draw_loss(panel: Axes, step_S: Float64s, loss_S: Float64s) -> None:
    """Draw each step's loss, and over it their running mean where there are steps enough."""
    panel.set_title("Training loss: lower is better")
    panel.set_ylabel("loss (nats)")
    window = len(loss_S) // _NUM_WINDOWS // 2 * 2 + 1
    smooth = window >= _MIN_WINDOW
    colour, width = (_PALE_BLUE, 0.6) if smooth else (BLUE, 1.5)
    _draw_line(panel, step_S, loss_S, color=colour, linewidth=width, label="each step")
    if smooth:
        mean_S = running_mean(loss_S, window)
        _draw_line(panel, step_S, mean_S, color=BLUE, label=f"mean of {window} steps")
        panel.legend(loc="upper right")


def _draw_line(panel: Axes, step_S: Float64s, values_S: Float64s, **look: Any) -> None:
    """Draw a line with gaps at NaN, and a dot for each of a few values.

    Among many, only a value between two gaps has one: no line leads to it.
    """
    present_S2 = np.pad(~np.isnan(values_S), 1)
    alone_S = present_S2[1:-1] & ~present_S2[:-2] & ~present_S2[2:]
    dots = np.flatnonzero(alone_S | (len(values_S) <= _MAX_DOTS))
    marker = "." if len(dots) else ""
    panel.plot(step_S, values_S, marker=marker, markevery=dots.tolist(), **look)


def _draw_kept_tokens(panel: Axes, step_S: Float64s, kept_S: Float64s) -> None:
    """Draw a bar for each step; neighbours share one, at their mean, where there are many."""
    size = max(1, -(-len(step_S) // _MAX_BARS))
    first_B = np.arange(0, len(step_S), size)
    mean_B = [kept_S[first : first + size].mean() for first in first_B]
    edges_B1 = [*(step_S[first_B] - 0.5), max(step_S, default=0.0) + 0.5]
    panel.stairs(mean_B, edges_B1, fill=True, color=_PALE_GREY)


def _label_small_panels(middle: Axes, bottom: Axes) -> None:
    middle.set_title("Learning rate", weight="normal")
    middle.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    bottom.set_title("Kept tokens of each step", weight="normal")
    bottom.yaxis.set_major_formatter(EngFormatter(sep=""))
    bottom.set_xlabel("optimizer step")
    bottom.xaxis.set_major_locator(whole_numbers())
    for panel in (middle, bottom):
        panel.yaxis.set_major_locator(MaxNLocator(2, steps=[1, 2, 5, 10]))
        panel.set_ylim(bottom=0)
