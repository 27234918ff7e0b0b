"""Pictures of training, rounds and comparisons, from plain numbers.

answer.py      bars_chart, line_chart: the answer to a question
canvas.py      size, colours and style; a drawing -> PNG or SVG
training.py    loss_curve: the loss of each optimizer step
rounds.py      rounds_chart: what each round found, and how its model did
benchmark.py   benchmark_chart: every method, what it finds of planted noise, and its worth
comparison.py  comparison_chart: every arm, and how far it is from random

The same numbers give the same bytes in one environment.
"""

import logging
import warnings

logging.getLogger("matplotlib").setLevel(logging.ERROR)  # its import speaks of its font cache
warnings.filterwarnings("ignore", "Glyph .* missing from font")  # a box is drawn in its place

from tokensieve.charts.answer import bars_chart, line_chart  # noqa: E402
from tokensieve.charts.benchmark import MethodPoint, benchmark_chart  # noqa: E402
from tokensieve.charts.canvas import ImageFormat  # noqa: E402
from tokensieve.charts.comparison import ArmPoint, comparison_chart  # noqa: E402
from tokensieve.charts.rounds import InfluenceQuantiles, RoundPoint, rounds_chart  # noqa: E402
from tokensieve.charts.training import StepPoint, loss_curve  # noqa: E402

__all__ = [
    "ArmPoint",
    "ImageFormat",
    "InfluenceQuantiles",
    "MethodPoint",
    "RoundPoint",
    "StepPoint",
    "bars_chart",
    "benchmark_chart",
    "comparison_chart",
    "line_chart",
    "loss_curve",
    "rounds_chart",
]
