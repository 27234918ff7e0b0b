"""The ground every chart is drawn on: size, colours, style, and how it becomes a file."""

from collections.abc import Callable
from io import BytesIO
from threading import Lock
from typing import Literal

import numpy as np
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray
from PIL import Image

Float64s = NDArray[np.float64]
ImageFormat = Literal["png", "svg"]

WIDTH = 8.0
"""Inches of every chart: 1200 pixels."""

# Okabe and Ito, "Color Universal Design" (2008): told apart with any colour vision.
BLUE = "#0072B2"
VERMILLION = "#D55E00"
GREEN = "#009E73"
PURPLE = "#CC79A7"
INK = "#333333"
GREY = "#8C8C8C"

_NUM_COLOURS = 128
_STYLE = {
    "figure.dpi": 150,
    "figure.constrained_layout.use": True,
    "figure.constrained_layout.w_pad": 0.12,
    "figure.constrained_layout.h_pad": 0.07,
    "text.color": INK,
    "text.parse_math": False,
    "axes.edgecolor": GREY,
    "axes.labelcolor": INK,
    "axes.titlelocation": "left",
    "axes.titlesize": 10.5,
    "axes.titleweight": "bold",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.axisbelow": True,
    "axes.xmargin": 0.02,
    "grid.color": "#E8E8E8",
    "xtick.color": GREY,
    "ytick.color": GREY,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "legend.frameon": False,
    "svg.hashsalt": "tokensieve",
}
_drawing = Lock()


def rendered(draw: Callable[[Figure], None], format: ImageFormat) -> bytes:
    """Return what `draw` puts on an empty figure, as an opaque picture.

    Matplotlib keeps its style for the whole process, so there is one drawing at a time.
    """
    with _drawing, style.context(_STYLE, after_reset=True):
        figure = Figure()
        draw(figure)
        return _png(figure) if format == "png" else _svg(figure)


def say_empty(panel: Axes) -> None:
    """Say in the panel that there is nothing to show, in place of a scale without meaning."""
    over_lines = {"facecolor": "white", "edgecolor": "none"}
    panel.text(
        *(0.5, 0.5, "not measured"),
        transform=panel.transAxes,
        horizontalalignment="center",
        verticalalignment="center",
        color=GREY,
        bbox=over_lines,
    )
    panel.tick_params(labelleft=False)


def whole_numbers() -> MaxNLocator:
    """Return ticks at whole numbers only, for steps and rounds."""
    return MaxNLocator(integer=True, min_n_ticks=1, steps=[1, 2, 5, 10])


def _png(figure: Figure) -> bytes:
    """Return the figure as a PNG with a palette: a third of the bytes, and no metadata."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    picture = Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")
    file = BytesIO()
    picture.quantize(_NUM_COLOURS).save(file, format="png", optimize=True)
    return file.getvalue()


def _svg(figure: Figure) -> bytes:
    file = BytesIO()
    figure.savefig(file, format="svg", metadata={"Date": None})
    return file.getvalue()
