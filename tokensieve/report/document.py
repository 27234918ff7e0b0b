"""Everything that a report shows."""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tokensieve.report.findings import Findings, Row
from tokensieve.token_maps import TokenMap
from tokensieve.visible_text import visible


@dataclass(frozen=True)
class Choice:
    """How the round chose its tokens."""

    method: str
    summary: str
    """What the method keeps and why."""
    source: str
    """The paper that it is from."""
    keep: float | None
    """Share that was kept. Unset: it is none that somebody gives."""
    scope: str | None
    """Where that share was counted."""
    is_influence: bool
    """Whether the method's number is the influence."""
    thresholds: Mapping[str, float | None]
    """The number at which the selection ends, by source, or "" for all of them; None where nothing
    is kept. Empty: each sample has its own, or there is none."""

    @property
    def threshold(self) -> float | None:
        """Return the number at which the selection of all tokens ends, if there is one for all."""
        return self.thresholds.get("")


@dataclass(frozen=True)
class Other:
    """The round that samples are compared with."""

    run: str
    round: int
    method: str
    num_shared: int
    """Samples of the page that it has too."""


@dataclass(frozen=True)
class SampleEntry:
    """A sample of the page, and what was decided on it in the other round, if that has it."""

    row: Row
    """Its row of sample_stats, with kept_share."""
    map: TokenMap
    other: TokenMap | None

    @property
    def num_changed(self) -> int | None:
        """Return how many tokens are kept in one of both rounds only; None if there is no other."""
        if self.other is None:
            return None
        is_kept_T, was_kept_T = (each.final_weight_T > 0 for each in (self.map, self.other))
        return int(np.count_nonzero(is_kept_T != was_kept_T))


@dataclass(frozen=True)
class Report:
    """One round of a run, and where it comes from."""

    findings: Findings
    choice: Choice
    artifacts: Mapping[str, str]
    """Name in the workspace of what the round used and made, by step."""
    alarms: Sequence[str]
    """What is not as it should be with the drop that the run cleaned."""
    samples: Sequence[SampleEntry]
    """The worst first."""
    num_samples: int
    """Of the round, from which those were taken."""
    other: Other | None
    workspace: str
    """As it is given to commands."""
    version: str
    written: str
    """When, in UTC."""

    @property
    def steps(self) -> list[Row]:
        """Return what each step of the round took, in the order in which they are done."""
        costs = [row for row in self.findings.costs if row["round"] == self.findings.round]
        return sorted(costs, key=lambda row: list(self.artifacts).index(row["step"]))

    def show_command(self, entry: SampleEntry) -> str:
        """Return what shows the sample in a terminal; empty if its id could not be copied."""
        id = entry.row["sample_id"]
        if visible(id) != id:
            return ""
        given = ["tokensieve", "show", id, "--run", self.findings.run]
        given += ["--round", str(self.findings.round), "--workspace", self.workspace]
        return shlex.join(given)
