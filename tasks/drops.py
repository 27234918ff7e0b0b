"""Find the drops that have changed, and record what became of each."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from prefect import get_run_logger, task
from prefect.cache_policies import NO_CACHE

from tasks.prefect_events import send_event
from tokensieve.drift import Alarm
from tokensieve.drops import (
    Drop,
    Look,
    State,
    Visit,
    check_location,
    find_drops,
    looks,
    note_looks,
    sample_counts,
)
from tokensieve.errors import InputError, ResourceError, ServiceError
from tokensieve.planning import CleanPlan, VisitPlan, way_of
from tokensieve.settings import CleanDropsSettings
from tokensieve.storage import Storage, open_storage

CLEANED = "tokensieve.drop.cleaned"
"""Event: what was kept of a drop may be used, at once or since it was approved."""
HELD = "tokensieve.drop.held"
"""Event: a drop waits for `tokensieve approve`."""


@dataclass(frozen=True)
class Sighting:
    """What lies at the location, by name of the drop."""

    changed: list[str]
    """Those that are complete and have changed since they were visited."""
    waiting: dict[str, str]
    """Why those wait that are not complete."""
    num_unchanged: int
    warnings: tuple[str, ...]
    """What else lies there."""
    failures: Mapping[str, InputError]
    """What is wrong with those that cannot be looked at."""


@dataclass(frozen=True)
class Ending:
    """What became of a drop that was visited."""

    state: State
    visit: Visit | None
    """Unset: nothing was cleaned."""
    remarks: tuple[str, ...]
    """What somebody should know."""


def may_pass(ending: Ending | Exception) -> bool:
    """Return whether a visit failed for a reason that lies in no drop, and would fail others."""
    return isinstance(ending, ServiceError | ResourceError)


@task(name="find-drops", task_run_name="find-drops", cache_policy=NO_CACHE)
def find_changed_drops(settings: CleanDropsSettings) -> Sighting:
    """Return which drops to visit; none of their files is opened."""
    check_location(settings.location, settings.workspace)
    storage = open_storage(settings.workspace, settings.s3)
    found, before = find_drops(settings.location, settings.s3), looks(storage)
    changed = [drop for drop in found.drops if not _is_same(before.get(drop.name), drop)]
    seconds = 60 * settings.quiet_minutes
    waiting = {drop.name: why for drop in changed if (why := drop.why_waiting(found.now, seconds))}
    note_looks(storage, {name: _waiting(before.get(name), why) for name, why in waiting.items()})
    for line in found.warnings:
        get_run_logger().warning(line)
    return Sighting(
        changed=_begun_first([drop.name for drop in changed if drop.name not in waiting], before),
        waiting=waiting,
        num_unchanged=len(found.drops) - len(changed),
        warnings=found.warnings,
        failures=found.failures,
    )


@task(name="stop-run", task_run_name="stop-run", cache_policy=NO_CACHE)
def stop_run(plan: CleanPlan) -> None:
    """Record that a run ends with its corpus, in which no sample is new."""
    plan.run.stop(plan.storage, "every sample was in files that were cleaned before")


@task(name="end-visit", task_run_name="end-visit", cache_policy=NO_CACHE)
def end_visit(plan: VisitPlan, alarms: Sequence[Alarm], hold: bool) -> Ending:
    """Put the visit into the log, and release what was kept unless alarms hold it back.

    Events go out first: whoever is killed here tells them again, and does not leave them untold.
    Raises ServiceError if a configured server does not take them, ConflictError if another run
    cleaned some of the files meanwhile; in both cases the next run ends the visit.
    """
    made = _visit(plan, alarms, hold)

    def tell() -> None:
        if made.selection is not None:
            tell_drop(HELD if made.held else CLEANED, plan.storage, made)

    visit = made.publish(plan.storage, plan.log, tell)
    ending = _ending(plan, visit)
    note_looks(plan.storage, {plan.drop.name: plan.look(ending.state)})
    return ending


def _ending(plan: VisitPlan, visit: Visit) -> Ending:
    """Return what became of a drop by the visit that stands, perhaps that of its twin."""
    if visit.drop != plan.drop.name:
        return Ending("known", None, plan.warnings)
    return Ending("held" if visit.held else "cleaned", visit, plan.warnings)


def tell_drop(event: str, storage: Storage, visit: Visit) -> None:
    """Tell Prefect what became of a drop, with everything that a training needs to know.

    Raises ServiceError if a configured server does not take it.
    """
    send_event(
        event,
        resource={
            "prefect.resource.id": f"tokensieve.drop.{visit.drop}",
            "prefect.resource.name": visit.drop,
        },
        related={"run": f"tokensieve.run.{visit.run}"},
        payload={
            "drop": visit.drop,
            "run": visit.run,
            "selection": visit.selection,
            "workspace": str(storage),
            "num_alarms": len(visit.alarms),
        },
    )


def _visit(plan: VisitPlan, alarms: Sequence[Alarm], hold: bool) -> Visit:
    assert plan.cleaning is not None, "nothing was new"
    corpus = plan.cleaning.corpus.artifact
    counts = sample_counts(corpus.required_commit())
    selection = plan.cleaning.selection.artifact if counts["samples"] else None
    if selection is not None:
        totals = selection.required_commit().totals
        counts |= {key: totals[key] for key in ("response_tokens", "kept_tokens")}
    return Visit(
        drop=plan.drop.name,
        files=list(plan.files),
        run=plan.cleaning.run.name,
        way=way_of(plan.cleaning.run),
        corpus=corpus.id,
        selection=None if selection is None else selection.id,
        counts=counts,
        alarms=[alarm.text for alarm in alarms],
        held=hold and bool(alarms),
    )


def _begun_first(names: list[str], before: Mapping[str, Look]) -> list[str]:
    """Return the drops in their order, without one between a drop that was begun and its end: it
    would be compared with one more, and so be planned anew.
    """
    return sorted(names, key=lambda name: name not in before or before[name].state != "begun")


def _is_same(before: Look | None, drop: Drop) -> bool:
    return before is not None and before.is_same(drop)


def _waiting(before: Look | None, why: str) -> Look:
    """Return what to note of a drop that waits: why, and the hashes that are known of it."""
    return Look(state="waiting", detail=why, files=before.files if before else {})
