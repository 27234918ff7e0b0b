"""The charts: what is drawn, from few points to many, and what the files are."""

import os
import struct
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from matplotlib import rcParams
from matplotlib.figure import Figure

from tests.scripts import REPOSITORY
from tokensieve.charts import (
    ArmPoint,
    InfluenceQuantiles,
    RoundPoint,
    StepPoint,
    comparison_chart,
    loss_curve,
    rounds_chart,
)
from tokensieve.charts.canvas import BLUE, GREY, VERMILLION
from tokensieve.charts.comparison import draw_comparison_chart
from tokensieve.charts.rounds import draw_rounds_chart
from tokensieve.charts.training import draw_loss_curve, running_mean
from tokensieve.comparison import EXACT_MATCH, LOSS

MISSING = np.nan
QUANTILES = InfluenceQuantiles(-1.0, -0.2, 0.1, 0.6, 2.0)
ROUND = RoundPoint(1, 1.9, True, 0.6, 0.55, 0.8, QUANTILES)
ARMS = [
    ArmPoint("random", (1.6, 1.8), None, None),
    ArmPoint("rho", (1.4, 1.5), -0.25, (-0.4, -0.1)),
    ArmPoint("full", (1.9, 2.1), 0.3, (0.2, 0.4)),
    ArmPoint("fixed-model", (1.5, 1.7), -0.1, (-0.3, 0.1)),
]


def steps(losses: list[float | None]) -> list[StepPoint]:
    """Return one step for each loss, from step 1, with 100 kept tokens, or 0 if skipped."""
    return [
        StepPoint(step, loss, learning_rate=1e-4, kept_tokens=0 if loss is None else 100)
        for step, loss in enumerate(losses, start=1)
    ]


def many(num_steps: int) -> list[StepPoint]:
    return steps([2.0 + (-1.0) ** step / step for step in range(1, num_steps + 1)])


def rounds(losses: list[float | None], rejected: int | None = None) -> list[RoundPoint]:
    return [
        replace(ROUND, round=round, held_out_loss=loss, accepted=round != rejected)
        for round, loss in enumerate(losses)
    ]


def drawn(draw, *arguments) -> Figure:
    figure = Figure()
    draw(figure, *arguments)
    return figure


def values(line) -> list[float]:
    return [None if np.isnan(y) else float(y) for y in np.asarray(line.get_ydata(), dtype=float)]


def lines_named(panel) -> dict[str, list[float]]:
    return {line.get_label(): values(line) for line in panel.lines}


CHARTS = [
    pytest.param(partial(loss_curve, many(300)), (1200, 840), id="loss"),
    pytest.param(partial(rounds_chart, rounds([2.0, 1.9])), (1200, 1110), id="round"),
    pytest.param(partial(comparison_chart, ARMS, LOSS), (1200, 417), id="arms"),
]


@pytest.mark.parametrize(("chart", "size"), CHARTS)
def test_a_chart_is_a_png_of_1200_pixels_and_less_than_100_kilobytes(chart, size):
    png = chart("png")

    assert png[:8] == b"\x89PNG\r\n\x1a\n"
    assert struct.unpack(">II", png[16:24]) == size
    assert len(png) < 100_000


@pytest.mark.parametrize(("chart", "size"), CHARTS)
@pytest.mark.parametrize("format", ["png", "svg"])
def test_the_same_numbers_give_the_same_bytes(chart, size, format):
    assert chart(format) == chart(format)


@pytest.mark.parametrize(("chart", "size"), CHARTS)
def test_a_chart_is_an_svg_without_a_date(chart, size):
    svg = chart("svg").decode()

    assert "<svg" in svg
    assert "dc:date" not in svg


def test_charts_drawn_at_the_same_time_are_those_drawn_one_by_one():
    points = [many(num_steps) for num_steps in (3, 300)] * 2
    one_by_one = [loss_curve(each) for each in points]

    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(loss_curve, points)) == one_by_one


def test_the_style_of_the_caller_is_neither_used_nor_changed():
    plain = loss_curve(many(3))
    before = dict(rcParams)
    try:
        rcParams["lines.linewidth"] = 9.0
        assert loss_curve(many(3)) == plain
        assert rcParams["lines.linewidth"] == 9.0
    finally:
        rcParams.update(before)


def test_nothing_is_told_on_stderr_where_no_font_list_can_be_kept(tmp_path):
    code = "from tokensieve.charts import loss_curve, StepPoint; loss_curve([])"
    home = tmp_path / "file"
    home.touch()
    environment = {"PATH": os.environ["PATH"], "HOME": str(home), "TMPDIR": str(tmp_path)}
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=REPOSITORY, env=environment, capture_output=True
    )

    assert (run.returncode, run.stderr) == (0, b"")


def test_no_window_system_is_loaded():
    code = "import sys, tokensieve.charts; print('matplotlib.pyplot' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True)

    assert run.stdout == b"False\n"


def test_the_loss_curve_has_loss_learning_rate_and_kept_tokens_by_step():
    figure = drawn(draw_loss_curve, steps([2.0, 1.5, 1.0]))
    top, middle, bottom = figure.axes

    titles = [panel.get_title() for panel in (top, middle, bottom)]
    assert titles == ["Training loss: lower is better", "Learning rate", "Kept tokens of each step"]
    assert top.get_ylabel() == "loss (nats)"
    assert bottom.get_xlabel() == "optimizer step"
    assert values(top.lines[0]) == [2.0, 1.5, 1.0]
    assert values(middle.lines[0]) == [1e-4, 1e-4, 1e-4]
    assert list(bottom.patches[0].get_data().values) == [100, 100, 100]
    assert list(bottom.patches[0].get_data().edges) == [0.5, 1.5, 2.5, 3.5]


def test_a_skipped_step_is_a_gap_of_the_loss_curve():
    top, *_ = drawn(draw_loss_curve, steps([2.0, None, 1.0])).axes

    assert values(top.lines[0]) == [2.0, None, 1.0]


def test_many_steps_are_drawn_each_and_smoothed_and_few_are_not_smoothed():
    few, *_ = drawn(draw_loss_curve, many(119)).axes
    lots, *_ = drawn(draw_loss_curve, many(10_000)).axes

    assert [line.get_label() for line in few.lines] == ["each step"]
    assert [line.get_label() for line in lots.lines] == ["each step", "mean of 333 steps"]
    assert [len(line.get_ydata()) for line in lots.lines] == [10_000, 10_000]


def test_many_steps_share_bars_at_their_mean():
    points = [replace(point, kept_tokens=point.step) for point in many(400)]
    *_, bottom = drawn(draw_loss_curve, points).axes
    bars = bottom.patches[0].get_data()

    assert list(bars.values[:2]) == [2.0, 5.0]  # the means of 1, 2, 3 and of 4, 5, 6
    assert bars.values[-1] == 400.0
    assert (bars.edges[0], bars.edges[-1]) == (0.5, 400.5)


def test_each_of_few_steps_has_a_dot_and_of_many_only_those_that_no_line_reaches():
    few, *_ = drawn(draw_loss_curve, many(100)).axes
    alone, *_ = drawn(draw_loss_curve, steps([1.0] * 50 + [None, 1.0, None] + [1.0] * 50)).axes

    assert few.lines[0].get_markevery() == list(range(100))
    assert alone.lines[0].get_markevery() == [51]


def test_a_running_mean_takes_the_values_around_and_keeps_gaps():
    mean = running_mean(np.array([1.0, 2.0, 6.0, MISSING, 4.0, 8.0]), window=3)

    np.testing.assert_allclose(mean, [1.5, 3.0, 4.0, MISSING, 6.0, 6.0])


@pytest.mark.parametrize(
    "losses",
    [[], [1.0], [None], [None, None], [2.0, 2.0], [1e-30, 1e30], [-1e300, 1e300], [0.0] * 200],
    ids=str,
)
def test_a_loss_curve_of_any_numbers_can_be_drawn(losses):
    assert loss_curve(steps(losses))[:4] == b"\x89PNG"


def test_the_rounds_chart_has_loss_shares_and_influence_by_round():
    top, middle, bottom = drawn(draw_rounds_chart, rounds([2.0, 1.8, 1.9], rejected=2)).axes

    assert (top.get_ylabel(), bottom.get_ylabel()) == ("loss (nats)", "influence (nats)")
    assert bottom.get_xlabel() == "round"
    named = lines_named(top)
    assert (named["became the reference"], named["rejected"]) == ([2.0, 1.8], [1.9])
    assert lines_named(middle) == {
        "kept": [0.6, 0.6, 0.6],
        "positive influence": [0.55, 0.55, 0.55],
        "overlap with the\nround before": [0.8, 0.8, 0.8],
    }
    assert lines_named(bottom)["median"] == [0.1, 0.1, 0.1]


def test_the_bands_of_influence_reach_from_quantile_to_quantile():
    *_, bottom = drawn(draw_rounds_chart, rounds([2.0, 1.8])).axes
    reach = {
        band.get_label(): (
            band.get_datalim(bottom.transData).y0,
            band.get_datalim(bottom.transData).y1,
        )
        for band in bottom.collections
        if "%" in band.get_label()
    }

    assert reach == {"5 % to 95 %": (-1.0, 2.0), "25 % to 75 %": (-0.2, 0.6)}


def test_what_a_round_misses_is_a_gap_of_the_rounds_chart():
    first, second, third = rounds([2.0, None, 1.8])
    second = replace(second, kept_share=None, overlap=None, influence=None)
    top, middle, bottom = drawn(draw_rounds_chart, [first, second, third]).axes

    assert values(top.lines[0]) == [2.0, None, 1.8]
    assert lines_named(middle)["kept"] == [0.6, None, 0.6]
    assert lines_named(middle)["positive influence"] == [0.55, 0.55, 0.55]
    assert lines_named(bottom)["median"] == [0.1, None, 0.1]


def test_a_panel_without_any_number_says_so():
    empty = replace(ROUND, held_out_loss=None, influence=None)
    texts = [
        [text.get_text() for text in panel.texts]
        for panel in drawn(draw_rounds_chart, [empty]).axes
    ]

    assert texts == [["not measured"], [], ["not measured"]]


@pytest.mark.parametrize("losses", [[], [2.0], [None], [1e-30, None, 1e30]], ids=str)
def test_a_rounds_chart_of_any_numbers_can_be_drawn(losses):
    assert rounds_chart(rounds(losses))[:4] == b"\x89PNG"


@pytest.mark.parametrize(
    ("metric", "best_first"),
    [
        (LOSS, ["rho", "fixed-model", "random", "full"]),
        (EXACT_MATCH, ["full", "random", "fixed-model", "rho"]),
    ],
)
def test_the_best_arm_stands_on_top(metric, best_first):
    left, _ = drawn(draw_comparison_chart, ARMS, metric).axes
    bottom, top = left.get_ylim()

    assert [label.get_text() for label in left.get_yticklabels()] == best_first
    assert list(left.get_yticks()) == [0, 1, 2, 3]
    assert bottom > top


def test_every_seed_is_a_dot_and_the_mean_a_stroke():
    left, _ = drawn(draw_comparison_chart, ARMS[:1], LOSS).axes
    dots, stroke = left.lines

    assert list(dots.get_xdata()) == [1.6, 1.8]
    assert list(stroke.get_xdata()) == pytest.approx([1.7])
    assert left.get_xlabel() == "each seed, and the mean (nats per token)"


@pytest.mark.parametrize(
    ("metric", "colours"),
    [
        (LOSS, {"rho": BLUE, "fixed-model": GREY, "full": VERMILLION}),
        (EXACT_MATCH, {"full": BLUE, "fixed-model": GREY, "rho": VERMILLION}),
    ],
)
def test_the_colour_says_better_unclear_or_worse_than_random(metric, colours):
    left, right = drawn(draw_comparison_chart, ARMS, metric).axes
    arms = [label.get_text() for label in left.get_yticklabels()]
    dots = [line for line in right.lines if line.get_marker() == "o"]

    assert {arms[dot.get_ydata()[0]]: dot.get_color() for dot in dots} == colours


def test_an_interval_is_a_bar_from_its_low_to_its_high_end():
    _, right = drawn(draw_comparison_chart, ARMS[1:2], LOSS).axes
    [bar] = right.collections

    assert bar.get_segments()[0].tolist() == [[-0.4, 0.0], [-0.1, 0.0]]
    assert right.get_xlabel() == "arm minus random (nats per token)   \N{LEFTWARDS ARROW} better"


def test_a_difference_of_one_seed_is_hollow_and_has_no_bar():
    arm = replace(ARMS[1], interval=None)
    _, right = drawn(draw_comparison_chart, [arm], LOSS).axes
    [dot] = [line for line in right.lines if line.get_marker() == "o"]

    assert (dot.get_markerfacecolor(), dot.get_color(), len(right.collections)) == (
        "white",
        GREY,
        0,
    )


def test_a_comparison_without_random_says_so():
    _, right = drawn(draw_comparison_chart, ARMS[:1], LOSS).axes

    assert [text.get_text() for text in right.texts] == ["not measured"]


def test_a_name_with_a_dollar_is_no_formula():
    assert comparison_chart([replace(ARMS[1], arm="a$b$c")], LOSS)[:4] == b"\x89PNG"
    assert comparison_chart([replace(ARMS[1], arm="$\\x$")], LOSS)[:4] == b"\x89PNG"


@pytest.mark.parametrize("value", [0.0, 1e-30, 1e30, -5.0])
def test_a_comparison_of_any_numbers_can_be_drawn(value):
    arm = ArmPoint("rho", (value,), value, (value, value))

    assert comparison_chart([arm, ARMS[0]], LOSS)[:4] == b"\x89PNG"
