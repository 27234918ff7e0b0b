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
    "minus random: at the arm's own rate; +-: half the 95 % interval of the differences paired by",
    "seed (/n: of fewer pairs than seeds);",
    "passes: cost in forward passes over the corpus; x full: relative to that of full.",
)


def comparison_table(rows: Sequence[ArmRow], metric: Metric) -> str:
    """Return the rows in aligned columns, with a title and a note: ASCII, without a last newline.

    Less than 100 columns wide while means and differences are below 10.
    """
    lines = [_COLUMNS, *(_cells(row) for row in rows)]
    return "\n".join([_title(metric), aligned(lines), *_NOTE])


def comparison_markdown(rows: Sequence[ArmRow], metric: Metric) -> str:
    """Return the rows as a markdown table with a title and a note, without a last newline."""
    table = as_markdown([_COLUMNS, *(_cells(row) for row in rows)])
    return "\n".join([f"**{_title(metric)}**", "", table, "", " ".join(_NOTE)])


def aligned(lines: Sequence[Sequence[str]]) -> str:
    """Return the cells in columns, words to the left and numbers to the right."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join("  ".join(_padded(line, widths)).rstrip() for line in lines)


def as_markdown(lines: Sequence[Sequence[str]]) -> str:
    """Return the cells as a markdown table; the first line holds its headings."""
    rule = ["---", *["---:"] * (len(lines[0]) - 1)]
    table = "\n".join("| " + " | ".join(line) + " |" for line in (lines[0], rule, *lines[1:]))
    return table.replace("@", "&#64;")  # else `random@0.9` becomes the address of a letter


def _title(metric: Metric) -> str:
    unit = f" ({metric.unit})" if metric.unit else ""
    return f"{metric.name}{unit}, {'lower' if metric.lower_is_better else 'higher'} is better"


def _cells(row: ArmRow) -> tuple[str, ...]:
    arm = row.arm if len(row.arm) <= _ARM_WIDTH else row.arm[: _ARM_WIDTH - 3] + "..."
    return (
        arm,
        str(row.num_seeds),
        number_text(row.mean),
        "-" if row.spread is None else number_text(row.spread),
        difference_text(row.versus[RANDOM], row.num_seeds),
        difference_text(row.versus[FULL], row.num_seeds),
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


def difference_text(difference: Difference | None, num_seeds: int = 0) -> str:
    """Return the mean with its sign and half its interval, `-` if there is none.

    `num_seeds`: where there are fewer pairs than that, their number is told.
    """
    if difference is None:
        return "-"
    half = difference.half_width
    interval = "" if half is None else f"+-{number_text(half)}"
    pairs = f"/{difference.num_pairs}" if difference.num_pairs < num_seeds else ""
    sign = "+" if difference.mean >= 0 else ""
    return sign + number_text(difference.mean) + interval + pairs


def number_text(value: float) -> str:
    """Return the number with four decimals, or four digits if it is large."""
    return f"{value:.4f}" if abs(value) < 1000 else f"{value:.4g}"
