"""How far a step is: a bar in the terminal, and an artifact in the Prefect UI."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

from prefect.artifacts import create_progress_artifact, update_progress_artifact
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

_UPDATE_SECONDS = 3.0


class StepProgress:
    """Units done of one step. Call `advance_to` as often as you like."""

    def __init__(self, bar: Progress, task: TaskID, artifact: UUID) -> None:
        """Show the bar as it was made."""
        self._bar, self._task, self._artifact = bar, task, artifact
        shown = bar.tasks[task]
        self._total, self._before = int(shown.total or 1), int(shown.completed)
        self._title, self._unit = shown.description, shown.fields["unit"]
        self._began = self._updated = time.monotonic()
        self._first = 0
        self.advance_to(0)

    def advance_to(self, units: int, note: str = "") -> None:
        """Show that `units` more were done since the step began, and a note on how it goes."""
        if not self._first:  # the speed counts from the first units: workers take time to start
            self._began, self._first = time.monotonic(), units
        done = min(self._before + units, self._total)
        speed = (units - self._first) / max(1e-9, time.monotonic() - self._began)
        rate = f"{speed:,.0f} {self._unit}/s" if units > self._first else ""
        rate = "  ".join(filter(None, (rate, note)))
        self._bar.update(self._task, completed=done, total=self._total, rate=rate)
        if time.monotonic() - self._updated > _UPDATE_SECONDS:
            self._updated = time.monotonic()
            percent = 100 * done / self._total
            update_progress_artifact(self._artifact, percent, f"{self._title}  {rate}")


@contextmanager
def step_progress(
    title: str, total: int, done: int = 0, unit: str = "tokens"
) -> Iterator[StepProgress]:
    """Show a step of `total` units of which `done` were done by an earlier run."""
    columns = (
        TextColumn("{task.description:<18}"),
        BarColumn(bar_width=32),
        TextColumn("{task.percentage:3.0f} %  {task.fields[rate]}"),
        TimeRemainingColumn(),
    )
    artifact = create_progress_artifact(100 * done / max(1, total), description=title)
    assert isinstance(artifact, UUID)
    with Progress(*columns, console=Console(file=sys.stderr)) as bar:
        task = bar.add_task(title, total=max(1, total), completed=done, rate="", unit=unit)
        yield StepProgress(bar, task, artifact)
        bar.update(task, completed=max(1, total))
    update_progress_artifact(artifact, 100.0)
