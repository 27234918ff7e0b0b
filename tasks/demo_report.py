"""What the demonstration prints: readable at a glance, with colours and without."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby

from rich import box
from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text

from tasks.evolution import Evolution
from tasks.summary import Summary
from tokensieve.noise.planting import KINDS
from tokensieve.noise.removal import Removal


@dataclass(frozen=True)
class Piece:
    """One token of the sample that is shown."""

    text: str
    is_response: bool
    is_kept: bool
    noise: str
    """The kind of noise it is; empty if it is clean."""


@dataclass(frozen=True)
class DemoReport:
    """What each method kept and removed, one sample, and where everything lies."""

    summary: Summary
    """Of the first method."""
    removals: dict[str, Removal]
    """By method; self-evolving: over the parts that its rounds selected in."""
    evolution: Evolution
    num_noise: int
    """Response tokens of the corpus that are planted noise."""
    sample_id: str
    sample: list[Piece]
    workspace: str

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yield the report for a terminal."""
        yield Text(f"{self.summary}\n")
        yield Text(
            f"{self.num_noise:,} of the response tokens are noise that was planted. "
            "Share that each method dropped:\n"
        )
        yield self._removal_table()
        yield Text("A method is worth its cost where it drops more noise than random does.\n")
        yield Text(f"The rounds of self-evolving cleaning: {self.evolution.history}\n")
        yield Text.assemble(
            "One sample: ", ("[-dropped-]", _DROPPED), ", ", ("{planted noise}", _NOISE), "\n"
        )
        yield Text.assemble(*self._sample())
        yield Text("\nTry next")
        for command in self._next_commands():
            yield Text(f"  {command}", style="bold")

    def _removal_table(self) -> Table:
        table = Table(box=box.SIMPLE_HEAD, padding=0, pad_edge=False)
        table.add_column("method", no_wrap=True, min_width=13)
        for heading in (*KINDS, "all noise", "clean"):
            table.add_column(heading.replace("_", " "), justify="right", no_wrap=True)
        for method, removal in self.removals.items():
            shares = (*removal.by_kind.values(), removal.noise, removal.clean)
            table.add_row(method, *(f"{share:.0%}" for share in shares))
        return table

    def _sample(self) -> Iterator[tuple[str, str]]:
        """Yield text and style of each run of tokens that fared alike."""
        for noise, run in groupby(self.sample, lambda piece: piece.noise):
            yield "{" if noise else "", _NOISE
            for (is_response, is_kept), alike in groupby(
                run, lambda piece: (piece.is_response, piece.is_kept)
            ):
                text = "".join(piece.text for piece in alike)
                dropped = is_response and not is_kept
                fate = _DROPPED if dropped else "" if is_response else "dim"
                style = " ".join(filter(None, (fate, _NOISE if noise else "")))
                yield f"[-{text}-]" if dropped else text, style
            yield "}" if noise else "", _NOISE

    def _next_commands(self) -> tuple[str, ...]:
        place = f"--workspace {min(self.workspace, os.path.relpath(self.workspace), key=len)}"
        return (
            f"tokensieve status {place}",
            f"tokensieve report {self.summary.run} {place}",
            f"tokensieve history {self.evolution.run} {place}",
            f'tokensieve sql "select * from token_stats order by mean_influence limit 20" {place}',
            'tokensieve sql "select text, base_nll, reference_nll, influence, weight from tokens '
            f"where run = '{self.summary.run}' and sample_id = '{self.sample_id}' "
            f'order by position" {place}',
        )


_DROPPED = "strike red"
_NOISE = "underline"
