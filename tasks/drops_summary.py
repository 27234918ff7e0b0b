"""Say what became of every drop, in the terminal and in the Prefect UI. Without sample text."""

import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from prefect import task
from prefect.artifacts import create_table_artifact
from prefect.cache_policies import NO_CACHE
from rich.console import Console

from tasks.drops import Sighting
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


@dataclass(frozen=True)
class DropLine:
    """What there is to say of one drop."""

    drop: str
    state: State
    visit: Visit | None
    """Unset: nothing was cleaned."""
    detail: str
    """Why it waits, or what went wrong."""

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
        return [*(self.visit.alarms if self.visit else ()), *filter(None, [self.detail]), *advice]

    @property
    def is_bad(self) -> bool:
        """Return whether it is to be shown in red."""
        return self.state in ("failed", "held") or bool(self.visit and self.visit.alarms)


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
    visits: Mapping[str, Visit | Exception | None],
) -> DropsSummary:
    """Return what became of the drops, note it for `status`, and show it."""
    storage = open_storage(settings.workspace, settings.s3)
    endings = {**sighting.failures, **visits}
    lines = [_line(drop, visit) for drop, visit in endings.items()]
    lines += [DropLine(drop, "waiting", None, why) for drop, why in sighting.waiting.items()]
    summary = DropsSummary(
        location=settings.location,
        lines=tuple(sorted(lines, key=lambda line: line.drop)),
        num_unchanged=sighting.num_unchanged,
        warnings=sighting.warnings,
        failures=tuple(each for each in endings.values() if isinstance(each, Exception)),
    )
    _note_failures(storage, lines)
    _show(summary)
    return summary


def _line(drop: str, visit: Visit | Exception | None) -> DropLine:
    if isinstance(visit, Exception):
        return DropLine(drop, "failed", None, f"{visit}"[:MAX_DETAIL])
    if visit is None:
        return DropLine(drop, "known", None, "")
    return DropLine(drop, "held" if visit.held else "cleaned", visit, "")


def _note_failures(storage: Storage, lines: list[DropLine]) -> None:
    before = looks(storage)
    failed = [line for line in lines if line.state == "failed"]
    known = {line.drop: before[line.drop].files for line in failed if line.drop in before}
    noted = {
        line.drop: Look(state="failed", detail=line.detail, files=known.get(line.drop, {}))
        for line in failed
    }
    note_looks(storage, noted)


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
