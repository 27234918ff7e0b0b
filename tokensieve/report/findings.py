"""What the index says of one round of a run."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Row = Mapping[str, Any]
"""A row by the names of its columns; None where the index has NULL."""


@dataclass(frozen=True)
class ScoreBins:
    """How the numbers that the method gave to tokens are distributed."""

    width: float
    """Bin b holds the numbers from b * width to below (b + 1) * width."""
    rows: Sequence[Row]
    """bin, tokens, kept_tokens; the first and the last bin hold what lies beyond them too."""


@dataclass(frozen=True)
class Findings:
    """The rows of the queries that a report shows. Influence and losses are in nats."""

    run: str
    round: int
    asked: Row
    """flow, num_rounds, and from JSON: settings, inputs, models."""
    stats: Row
    """The round's row of round_stats."""
    sources: Sequence[Row]
    turns: Sequence[Row]
    positions: Sequence[Row]
    """By place in the response: bin b holds the places from 2^b to 2^(b+1) - 1, from 1."""
    influence_bins: Sequence[Row]
    """lower_edge, tokens, kept_tokens; bins of 0.25 nats."""
    score_bins: ScoreBins | None
    """None: no token has a number, or all have the same."""
    telling_tokens: Sequence[Row]
    """With the most dropped beyond the round's share first, the most kept last."""
    reasons: Sequence[Row]
    policies: Sequence[Row]
    """What each policy kept and dropped against the method; empty if there was none."""
    rejected: Sequence[Row]
    rounds: Sequence[Row]
    """The rows of summarise_rounds: all rounds of the run."""
    costs: Sequence[Row]
    """seconds and tokens of each step of each round of the run."""

    @property
    def outcome(self) -> Row:
        """Return the row of this round among all rounds of the run."""
        return next(row for row in self.rounds if row["round"] == self.round)
