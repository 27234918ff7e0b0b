"""The answer to a question: a bar for each word, or a line through pairs of numbers."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from tokensieve.charts.canvas import BLUE, WIDTH, ImageFormat, rendered, say_empty

MAX_BARS = 40
"""More would be too thin to read."""
_MAX_LABEL = 40
_MAX_DOTS = 60
_ROW_HEIGHT = 0.3
_REST_HEIGHT = 0.8
_LINE_HEIGHT = 3.4


def bars_chart(
    labels: Sequence[str], values: Sequence[float], measure: str, format: ImageFormat = "png"
) -> bytes:
    """Return a picture of a bar for each of the first MAX_BARS labels, from top to bottom.

    No bar stands for a value that is not finite.
    """
    return rendered(lambda figure: draw_bars_chart(figure, labels, values, measure), format)


def line_chart(
    x: Sequence[float], y: Sequence[float], names: tuple[str, str], format: ImageFormat = "png"
) -> bytes:
    """Return a picture of a line through the pairs that are finite, from left to right."""
    return rendered(lambda figure: draw_line_chart(figure, x, y, names), format)


def draw_bars_chart(
    figure: Figure, labels: Sequence[str], values: Sequence[float], measure: str
) -> None:
    """Draw one panel of horizontal bars."""
    shown = [_shortened(label) for label in labels[:MAX_BARS]]
    value_B = np.array(values[:MAX_BARS], dtype=np.float64)
    figure.set_size_inches(WIDTH, _REST_HEIGHT + _ROW_HEIGHT * max(len(shown), 1))
    panel = figure.subplots()
    panel.barh(range(len(shown)), np.where(np.isfinite(value_B), value_B, np.nan), color=BLUE)
    panel.set_yticks(range(len(shown)), shown)
    panel.set_ylim(max(len(shown), 1) - 0.5, -0.5)
    panel.set_xlabel(_shortened(measure))
    panel.grid(axis="x")
    panel.grid(visible=False, axis="y")
    panel.tick_params(axis="y", length=0)
    panel.spines["left"].set_visible(False)
    if not np.isfinite(value_B).any():
        say_empty(panel)


def draw_line_chart(
    figure: Figure, x: Sequence[float], y: Sequence[float], names: tuple[str, str]
) -> None:
    """Draw one panel with a line, and a dot for each of a few pairs."""
    figure.set_size_inches(WIDTH, _LINE_HEIGHT)
    panel = figure.subplots()
    pairs_P2 = np.array([x, y], dtype=np.float64).T
    finite_P2 = pairs_P2[np.isfinite(pairs_P2).all(axis=1)]
    ordered_P2 = finite_P2[np.argsort(finite_P2[:, 0], kind="stable")]
    marker = "." if len(ordered_P2) <= _MAX_DOTS else ""
    panel.plot(ordered_P2[:, 0], ordered_P2[:, 1], color=BLUE, marker=marker)
    panel.set_xlabel(_shortened(names[0]))
    panel.set_ylabel(_shortened(names[1]))
    if not len(ordered_P2):
        say_empty(panel)


def _shortened(text: str) -> str:
    return text if len(text) <= _MAX_LABEL else f"{text[: _MAX_LABEL - 1]}…"
