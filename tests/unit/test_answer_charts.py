"""The chart of an answer: what is drawn, however the values are."""

import numpy as np
import pytest
from matplotlib.figure import Figure

from tokensieve.charts import bars_chart, line_chart
from tokensieve.charts.answer import MAX_BARS, draw_bars_chart, draw_line_chart

NAN, INF = float("nan"), float("inf")


def bars(labels, values):
    """Return the label of each bar and how long it is, from top to bottom."""
    figure = Figure()
    draw_bars_chart(figure, labels, values, "kept")
    [panel] = figure.axes
    widths = [float(patch.get_width()) for patch in panel.patches]
    return list(zip([tick.get_text() for tick in panel.get_yticklabels()], widths, strict=True))


def line(x, y):
    figure = Figure()
    draw_line_chart(figure, x, y, ("round", "loss"))
    [drawn] = figure.axes[0].lines
    return [tuple(map(float, pair)) for pair in drawn.get_xydata()]


def test_a_bar_stands_for_each_label_in_the_order_of_the_answer():
    assert bars(["b", "a"], [2.0, -1.0]) == [("b", 2.0), ("a", -1.0)]


def test_no_bar_stands_for_what_is_not_finite():
    drawn = dict(bars(["a", "b", "c"], [NAN, INF, 1.0]))

    assert drawn["c"] == 1.0
    assert np.isnan([drawn["a"], drawn["b"]]).all()


def test_of_many_labels_the_first_are_drawn_and_long_ones_are_cut():
    drawn = bars(["x" * 50] * 100, [1.0] * 100)

    assert drawn == [("x" * 39 + "…", 1.0)] * MAX_BARS


def test_a_line_goes_from_left_to_right_through_the_pairs_that_are_finite():
    assert line([3.0, 1.0, 2.0, NAN], [30.0, 10.0, INF, 40.0]) == [(1.0, 10.0), (3.0, 30.0)]


@pytest.mark.parametrize("values", [[], [NAN]])
def test_where_there_is_nothing_to_draw_it_is_said(values):
    labels = ["a"] * len(values)
    for draw, given in (
        (draw_bars_chart, (labels, values, "kept")),
        (draw_line_chart, (values, values, ("a", "b"))),
    ):
        figure = Figure()
        draw(figure, *given)
        assert [text.get_text() for text in figure.axes[0].texts] == ["not measured"]


def test_the_same_answer_gives_the_same_bytes_and_its_text_is_no_formula():
    pictures = {bars_chart(["$x^2$", "a_b"], [1.0, 2.0], "$n$", "svg") for _ in range(2)}
    lines = {line_chart([1.0, 2.0], [1.0, 2.0], ("$a$", "$b$"), "svg") for _ in range(2)}

    assert len(pictures) == len(lines) == 1
    assert pictures.pop().startswith(b"<?xml")
