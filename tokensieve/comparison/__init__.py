"""Whether an arm of a comparison beats random, and what it costs. Plain numbers, no models.

results.py     the evaluated arms, random at the rate of each, and one row for each over its seeds
intervals.py   paired differences and their 95 % intervals
cost.py        forward passes over the corpus
verdict.py     what the rows say, in words
tables.py      the rows as text and as markdown
"""

from tokensieve.comparison.cost import forward_passes, passes_of_training
from tokensieve.comparison.intervals import Difference, paired_difference
from tokensieve.comparison.results import (
    EXACT_MATCH,
    FULL,
    LOSS,
    RANDOM,
    SAME_RATE,
    ArmResult,
    ArmRow,
    Metric,
    compare_arms,
    control_of,
    missing_controls,
    task_metric,
)
from tokensieve.comparison.tables import comparison_markdown, comparison_table
from tokensieve.comparison.verdict import verdict

__all__ = [
    "EXACT_MATCH",
    "FULL",
    "LOSS",
    "RANDOM",
    "SAME_RATE",
    "ArmResult",
    "ArmRow",
    "Difference",
    "Metric",
    "compare_arms",
    "comparison_markdown",
    "comparison_table",
    "control_of",
    "forward_passes",
    "missing_controls",
    "paired_difference",
    "passes_of_training",
    "task_metric",
    "verdict",
]
