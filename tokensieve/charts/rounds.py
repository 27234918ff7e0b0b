"""The course of self-evolving cleaning, round by round. Shape: R = rounds."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from tokensieve.charts.canvas import (
    BLUE,
    GREEN,
    GREY,
    PURPLE,
    VERMILLION,
    WIDTH,
    Float64s,
    ImageFormat,
    rendered,
    say_empty,
    whole_numbers,
)

_HEIGHT = 7.4


class InfluenceQuantiles(NamedTuple):
    """Quantiles of the influence of a round's tokens, in nats."""

    p05: float
    p25: float
    p50: float
    p75: float
    p95: float


@dataclass(frozen=True)
class RoundPoint:
    """One round. None: not known, or there is no such thing in this round."""

    round: int
    held_out_loss: float | None
    """Of the model that the round trained, in nats."""
    accepted: bool
    """Whether that model became the next reference."""
    kept_share: float | None
    """Of the response tokens."""
    positive_share: float | None
    """Of the tokens with an influence: those with a positive one."""
    overlap: float | None
    """Share that this selection and the previous round's have in common."""
    influence: InfluenceQuantiles | None


def rounds_chart(rounds: Sequence[RoundPoint], format: ImageFormat = "png") -> bytes:
    """Return a picture of each round's held-out loss, shares and influence."""
    return rendered(lambda figure: draw_rounds_chart(figure, rounds), format)


def draw_rounds_chart(figure: Figure, rounds: Sequence[RoundPoint]) -> None:
    """Draw three panels above each other: held-out loss, shares, influence."""
    figure.set_size_inches(WIDTH, _HEIGHT)
    top, middle, bottom = figure.subplots(3, sharex=True)
    round_R = np.array([point.round for point in rounds], dtype=np.float64)
    _draw_held_out_loss(top, round_R, rounds)
    _draw_shares(middle, round_R, rounds)
    _draw_influence(bottom, round_R, rounds)
    bottom.set_xlabel("round")
    bottom.xaxis.set_major_locator(whole_numbers())
    figure.align_ylabels()
    bottom.set_xlim(min(round_R, default=0) - 0.5, max(round_R, default=0) + 0.5)


def _draw_held_out_loss(panel: Axes, round_R: Float64s, rounds: Sequence[RoundPoint]) -> None:
    """Draw the loss of every round's model, and cross out those that were rejected."""
    panel.set_title("Held-out loss: lower is better")
    panel.set_ylabel("loss (nats)")
    loss_R = np.array([point.held_out_loss for point in rounds], dtype=np.float64)
    measured_R = ~np.isnan(loss_R)
    accepted_R = np.array([point.accepted for point in rounds], dtype=np.bool_)
    panel.plot(round_R, loss_R, color=GREY, linewidth=1)
    for shown_R, marker, colour, label in (
        (measured_R & accepted_R, "o", BLUE, "became the reference"),
        (measured_R & ~accepted_R, "X", VERMILLION, "rejected"),
    ):
        panel.plot(round_R[shown_R], loss_R[shown_R], marker, ms=8, color=colour, label=label)
    _label_lines(panel, is_empty=not measured_R.any())


def _draw_shares(panel: Axes, round_R: Float64s, rounds: Sequence[RoundPoint]) -> None:
    panel.set_title("Shares of response tokens")
    panel.set_ylim(0, 1.04)
    panel.yaxis.set_major_formatter(PercentFormatter(1.0))
    shares_R3 = np.array(
        [(point.kept_share, point.positive_share, point.overlap) for point in rounds],
        dtype=np.float64,
    ).reshape(-1, 3)
    looks = (
        ("o", BLUE, "kept"),
        ("^", GREEN, "positive influence"),
        ("s", PURPLE, "overlap with the\nround before"),
    )
    for share_R, (marker, colour, label) in zip(shares_R3.T, looks, strict=True):
        panel.plot(round_R, share_R, marker=marker, color=colour, label=label)
    _label_lines(panel, is_empty=bool(np.isnan(shares_R3).all()))


def _draw_influence(panel: Axes, round_R: Float64s, rounds: Sequence[RoundPoint]) -> None:
    """Draw the quantiles as two bands and a line; a bar shows a round without neighbours too."""
    panel.set_title("Influence: above 0 the reference is better than the base")
    panel.set_ylabel("influence (nats)")
    panel.axhline(0.0, color=GREY, linewidth=1)
    missing = (np.nan,) * 5
    quantiles_R5 = np.array([point.influence or missing for point in rounds]).reshape(-1, 5)
    p05_R, p25_R, p50_R, p75_R, p95_R = quantiles_R5.T
    for low_R, high_R, alpha, width, label in (
        (p05_R, p95_R, 0.15, 2, "5 % to 95 %"),
        (p25_R, p75_R, 0.3, 6, "25 % to 75 %"),
    ):
        panel.fill_between(round_R, low_R, high_R, color=BLUE, alpha=alpha, lw=0, label=label)
        panel.vlines(round_R, low_R, high_R, color=BLUE, alpha=0.5, linewidth=width)
    panel.plot(round_R, p50_R, marker="o", color=BLUE, label="median")
    _label_lines(panel, is_empty=bool(np.isnan(p50_R).all()))


def _label_lines(panel: Axes, is_empty: bool) -> None:
    """Name the panel's lines beside it, where they hide nothing."""
    panel.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))
    if is_empty:
        say_empty(panel)
