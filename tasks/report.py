"""Write the report of a round of a run: one HTML page that needs nothing beside itself."""

import os
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from sql.report import list_extreme_samples, read_findings
from sql.token_maps import read_token_maps
from tasks.output import replaced
from tokensieve import __version__
from tokensieve.addresses import is_address
from tokensieve.artifact import Artifact
from tokensieve.drops import read_log
from tokensieve.errors import InputError, SettingsError, shortened
from tokensieve.methods import find_method
from tokensieve.methods.influence import influence
from tokensieve.report import Choice, Other, Report, Row, SampleEntry, report_page
from tokensieve.runs import FinishedRound, Run, load_run, run_and_round
from tokensieve.settings import SelectionSettings
from tokensieve.storage import Storage

MAX_KNOWN = 10
"""Runs that are named where one is not known."""


def write_report(
    storage: Storage,
    run_name: str,
    round: int | None,
    against: str | None,
    num_samples: int,
    output: Path | None,
) -> str:
    """Write the report of a round, the last one if none is given; return where it lies, and its
    size.

    Without `output` it is <run>.html in the current directory. Raises InputError for a run that was
    never done, SettingsError for a round that is not finished.
    """
    path = output or Path(f"{run_name}.html")
    page = report_page(make_report(storage, run_name, round, against, num_samples))
    with replaced(path) as partial:
        partial.write_bytes(page)
    return f"{path} ({len(page) / 1e6:,.1f} MB)"


def make_report(
    storage: Storage, run_name: str, round: int | None, against: str | None, num_samples: int
) -> Report:
    """Return everything that the page shows of a round; raises as `write_report`."""
    if num_samples < 0:
        raise SettingsError(
            f"--samples: {num_samples} is below 0. Give how many the page may show."
        )
    finished = _finished_round(storage, run_name, round)
    number = finished.round.round
    other = _other_round(storage, against, (run_name, number))
    found = read_findings(storage, run_name, number)
    if found is None:
        raise SettingsError(
            f"{storage}: the index lacks round {number} of run {run_name}. Run `tokensieve index`, "
            "then the same command again."
        )
    made = finished.round.artifacts(storage)
    rows = list_extreme_samples(
        storage, (run_name, number), num_samples, other, only_shared=against is not None
    )
    if against and num_samples and not rows:
        raise SettingsError(
            f"--against: {shortened(against)} has no sample in common with round {number} of "
            f"{run_name}. Name a run that cleaned the same drop."
        )
    return Report(
        findings=found,
        choice=_choice(made["selection"]),
        artifacts={step: each.key for step, each in made.items()},
        alarms=_alarms(storage, run_name),
        samples=_entries(storage, (run_name, number), other, rows),
        num_samples=rows[0]["num_ranked"] if rows else 0,
        other=_compared(storage, other, rows),
        workspace=_typed(storage),
        version=__version__,
        written=f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
    )


def _finished_round(storage: Storage, run_name: str, round: int | None) -> FinishedRound:
    """Return a round of a run, the last finished one if none is given."""
    run = _known_run(storage, run_name)
    finished = run.finished_rounds(storage)
    if not finished:
        raise SettingsError(
            f"{storage}: run {run_name} has no finished round to report. `tokensieve status` tells "
            "how far it is, `tokensieve history` what the arms of a comparison found."
        )
    number = len(finished) - 1 if round is None else round
    if not 0 <= number < len(finished):
        raise SettingsError(
            f"--round: run {run_name} has finished rounds 0 to {len(finished) - 1}, got {number}"
        )
    return finished[number]


def _known_run(storage: Storage, name: str) -> Run:
    names = storage.names("runs")
    run = load_run(storage, name) if name in names else None
    if run is None:
        known = ", ".join(names[:MAX_KNOWN]) or "none yet"
        more = f", and {len(names) - MAX_KNOWN} more" if len(names) > MAX_KNOWN else ""
        raise InputError(
            f"{storage}: unknown run {shortened(name)}; known: {known}{more}. `tokensieve status` "
            "tells of each."
        )
    return run


def _other_round(
    storage: Storage, against: str | None, of: tuple[str, int]
) -> tuple[str, int] | None:
    """Return run and round to compare with: the given one, or the round before."""
    run_name, number = of
    if against is None:
        return (run_name, number - 1) if number else None
    other, round = run_and_round("--against", against)
    found = _finished_round(storage, other, round)
    if (other, found.round.round) == of:
        raise SettingsError(
            f"--against: {shortened(against)} is the round that is reported. Name another one."
        )
    return other, found.round.round


def _entries(
    storage: Storage, of: tuple[str, int], other: tuple[str, int] | None, rows: Sequence[Row]
) -> list[SampleEntry]:
    """Return the samples of the rows, each with its map of the other round if that has it."""
    maps = read_token_maps(storage, *of, [row["sample_id"] for row in rows])
    shared = [row["sample_id"] for row in rows if row["is_shared"]]
    others = read_token_maps(storage, *other, shared) if other and shared else []
    of_other = {each.sample_id: each for each in others}
    return [
        SampleEntry(row, map, of_other.get(map.sample_id))
        for row, map in zip(rows, maps, strict=True)
    ]


def _compared(storage: Storage, other: tuple[str, int] | None, rows: Sequence[Row]) -> Other | None:
    if other is None:
        return None
    made = _finished_round(storage, *other).round.artifacts(storage)
    return Other(*other, made["selection"].plan["method"], sum(row["is_shared"] for row in rows))


def _choice(selection: Artifact) -> Choice:
    """Return how a finished selection chose."""
    plan = selection.plan
    method = find_method(plan["method"], plan["parameters"])
    rule = method.rule(
        SelectionSettings(method=method.name, keep=plan["keep"], scope=plan["scope"])
    )
    noted = selection.required_commit().notes.get("thresholds", {})
    return Choice(
        method=method.name,
        summary=method.summary,
        source=method.source,
        keep=rule.keep if rule.counts else None,
        scope=rule.scope if rule.counts else None,
        is_influence=method.judge is influence,
        thresholds={"": 0.0}
        if rule.direction == "test"
        else {name: each["score"] for name, each in sorted(noted.items())},
    )


def _typed(storage: Storage) -> str:
    """Return the place of the workspace as a person would type it here."""
    place = str(storage)
    return place if is_address(place) else min(place, os.path.relpath(place), key=len)


def _alarms(storage: Storage, run_name: str) -> tuple[str, ...]:
    """Return what is not as it should be with the drop that a run cleaned, if it cleaned one."""
    visits = [visit for visit in read_log(storage).visits if visit.run == run_name]
    return tuple(alarm for visit in visits for alarm in visit.alarms)
