"""The rows of a comparison as a table: plain ASCII for a terminal, markdown for Prefect."""

from collections.abc import Sequence

from tokensieve.comparison.intervals import Difference
from tokensieve.comparison.results import FULL, RANDOM, ArmRow, Metric

_ARM_WIDTH = 14
_COLUMNS = (
    *("arm", "seeds", "mean", "spread", "minus random", "minus full"),
    *("passes", "x full", "sec"),
)
_NOTE = (
    "+-: half the 95 % interval of the differences paired by seed (/n: of fewer pairs than seeds);",
    "passes: cost in forward passes over the corpus; x full: relative to that of full.",
)


def comparison_table(rows: Sequence[ArmRow], metric: Metric) -> str:
    """Return the rows in aligned columns, with a title and a note: ASCII, without a last newline.

    Less than 100 columns wide while means and differences are below 10.
    """
    lines = [_COLUMNS, *(_cells(row) for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    aligned = ["  ".join(_padded(line, widths)).rstrip() for line in lines]
    return "\n".join([_title(metric), *aligned, *_NOTE])


def comparison_markdown(rows: Sequence[ArmRow], metric: Metric) -> str:
    """Return the rows as a markdown table with a title and a note, without a last newline."""
    rule = ["---", *["---:"] * (len(_COLUMNS) - 1)]
    lines = [_COLUMNS, rule, *(_cells(row) for row in rows)]
    table = ["| " + " | ".join(line) + " |" for line in lines]
    return "\n".join([f"**{_title(metric)}**", "", *table, "", " ".join(_NOTE)])


def _title(metric: Metric) -> str:
    unit = f" ({metric.unit})" if metric.unit else ""
    return f"{metric.name}{unit}, {'lower' if metric.lower_is_better else 'higher'} is better"


def _cells(row: ArmRow) -> tuple[str, ...]:
    arm = row.arm if len(row.arm) <= _ARM_WIDTH else row.arm[: _ARM_WIDTH - 3] + "..."
    return (
        arm,
        str(row.num_seeds),
        _number(row.mean),
        "-" if row.spread is None else _number(row.spread),
        _difference(row.versus[RANDOM], row.num_seeds),
        _difference(row.versus[FULL], row.num_seeds),
        f"{row.forward_passes:.2f}",
        "-" if row.extra_compute is None else f"{row.extra_compute:.2f}",
        "-" if row.seconds is None else f"{row.seconds:.0f}",
    )


def _padded(line: Sequence[str], widths: Sequence[int]) -> list[str]:
    """Return the cells with words to the left and numbers to the right."""
    pairs = list(zip(line, widths, strict=True))
    return [
        cell.rjust(width) if place else cell.ljust(width)
        for place, (cell, width) in enumerate(pairs)
    ]


def _difference(difference: Difference | None, num_seeds: int) -> str:
    if difference is None:
        return "-"
    half = difference.half_width
    interval = "" if half is None else f"+-{_number(half)}"
    pairs = f"/{difference.num_pairs}" if difference.num_pairs < num_seeds else ""
    sign = "+" if difference.mean >= 0 else ""
    return sign + _number(difference.mean) + interval + pairs


def _number(value: float) -> str:
    return f"{value:.4f}" if abs(value) < 1000 else f"{value:.4g}"
