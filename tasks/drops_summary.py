"""Say what became of every drop, in the terminal and in the Prefect UI. Without sample text."""

import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from prefect import task
from prefect.artifacts import create_table_artifact
from prefect.cache_policies import NO_CACHE
from rich.console import Console

from tasks.drops import Ending, Sighting, may_pass
from tokensieve.drops import MAX_DETAIL, Look, State, Visit, looks, note_looks
from tokensieve.settings import CleanDropsSettings
from tokensieve.storage import Storage, open_storage

_COLUMNS = {
    "drop": "<20",
    "state": "<9",
    "files": "<16",
    "rows": ">9",
    "seen": ">9",
    "samples": ">9",
    "kept": ">8",
    "alarms": ">8",
    "run": "",
}
"""Name and form of each column."""

_LEFT = "is left to the next run, as what stopped this one may pass"


@dataclass(frozen=True)
class DropLine:
    """What there is to say of one drop."""

    drop: str
    state: State
    visit: Visit | None
    """Unset: nothing was cleaned."""
    details: tuple[str, ...]
    """Why it waits, what went wrong, what was left out."""

    def cells(self) -> dict[str, str]:
        """Return the text of each of _COLUMNS; empty where there is nothing to say."""
        cells = dict.fromkeys(_COLUMNS, "") | {"drop": self.drop, "state": self.state}
        visit = self.visit
        if visit is None:
            return cells
        counts, num_new = visit.counts, sum(file.is_new for file in visit.files)
        cells |= {name: f"{counts[name]:,}" for name in ("rows", "seen", "samples")}
        cells["files"] = f"{num_new} new, {len(visit.files) - num_new} known"
        if counts.get("response_tokens"):
            cells["kept"] = f"{100 * counts['kept_tokens'] / counts['response_tokens']:.1f} %"
        return cells | {"alarms": str(len(visit.alarms)), "run": visit.run}

    def remarks(self) -> list[str]:
        """Return what a person should look at, a line each."""
        advice = []
        if self.state == "held":
            advice = [f"waits for `tokensieve approve {self.drop}`"]
        return [*(self.visit.alarms if self.visit else ()), *self.details, *advice]

    @property
    def is_bad(self) -> bool:
        """Return whether it is to be shown in red."""
        return self.state not in ("waiting", "begun") and bool(self.remarks())


@dataclass(frozen=True)
class DropsSummary:
    """What became of every drop at a location."""

    location: str
    lines: tuple[DropLine, ...]
    """Of the drops that were visited or wait, by name."""
    num_unchanged: int
    warnings: tuple[str, ...]
    failures: tuple[Exception, ...]

    def raise_first(self) -> None:
        """Raise the error of the first drop that failed, if any did."""
        for failure in self.failures:
            raise failure

    def text(self) -> Iterator[tuple[str, bool]]:
        """Yield the lines for the terminal, and whether each is to be red."""
        yield f"drops in {self.location}", False
        if self.lines:
            yield "", False
            yield _row(_COLUMNS), False
        for line in self.lines:
            yield _row(line.cells().values()), line.is_bad
            for remark in line.remarks():
                yield f"      {remark}", line.is_bad
        yield "", False
        yield f"  {self.num_unchanged} unchanged", False
        for warning in self.warnings:
            yield f"  {warning}", False


@task(name="summarise-drops", task_run_name="summarise-drops", cache_policy=NO_CACHE)
def summarise_drops(
    settings: CleanDropsSettings,
    sighting: Sighting,
    visits: Mapping[str, Ending | Exception],
) -> DropsSummary:
    """Return what became of the drops, note it for `status`, and show it."""
    endings = {**sighting.failures, **visits}
    lines = [_line(drop, ending) for drop, ending in endings.items()]
    lines += [DropLine(drop, "waiting", None, (why,)) for drop, why in sighting.waiting.items()]
    left = (drop for drop in sighting.changed if drop not in visits)
    lines += [DropLine(drop, "waiting", None, (_LEFT,)) for drop in left]
    failures = {drop: each for drop, each in endings.items() if isinstance(each, Exception)}
    summary = DropsSummary(
        location=settings.location,
        lines=tuple(sorted(lines, key=lambda line: line.drop)),
        num_unchanged=sighting.num_unchanged,
        warnings=sighting.warnings,
        failures=tuple(failures.values()),
    )
    _note_failures(open_storage(settings.workspace, settings.s3), failures)
    _show(summary)
    return summary


def _line(drop: str, ending: Ending | Exception) -> DropLine:
    if isinstance(ending, Exception):
        return DropLine(drop, "failed", None, (f"{ending}"[:MAX_DETAIL],))
    return DropLine(drop, ending.state, ending.visit, ending.remarks)


def _note_failures(storage: Storage, failures: Mapping[str, Exception]) -> None:
    before = looks(storage)
    note_looks(storage, {drop: _failed(before.get(drop), failures[drop]) for drop in failures})


def _failed(before: Look | None, error: Exception) -> Look:
    """Return what to note: what was begun stays so if the error may pass, and goes first then."""
    is_begun = before is not None and before.state == "begun" and may_pass(error)
    return Look(
        state="begun" if is_begun else "failed",
        detail=f"{error}"[:MAX_DETAIL],
        files=before.files if before else {},
    )


def _show(summary: DropsSummary) -> None:
    """Print the summary, and make it an artifact."""
    console = Console(file=sys.stdout, highlight=False, markup=False)
    for line, is_bad in summary.text():
        console.print(line, style="red" if is_bad else None, soft_wrap=True)
    rows = [line.cells() | {"remarks": "; ".join(line.remarks())} for line in summary.lines]
    create_table_artifact(
        rows, key="drops", description=f"{summary.location}, and {summary.num_unchanged} unchanged"
    )


def _row(cells: Iterable[str]) -> str:
    shown = [format(cell, form) for cell, form in zip(cells, _COLUMNS.values(), strict=True)]
    return f"  {' '.join(shown)}".rstrip()
