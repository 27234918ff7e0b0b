"""Clean whatever is new at a location, drop by drop.

    location --> drops --+--> waiting, unchanged
                         |
                         +--> new files --> corpus --> evidence --> selection --> index --+
                                                                                          |
                         summary <-- released, or held for approval <-- drift alarms <----+

What was cleaned is remembered by content. So this can run every minute, and twice at once: where
nothing is new it only looks, and a drop that grew costs what is new in it.
"""

from prefect import flow

from flows.evidence import collect_evidence
from tasks.corpus import make_corpus
from tasks.drift import check_drift
from tasks.drops import Ending, end_visit, find_changed_drops, may_pass, stop_run
from tasks.drops_summary import DropsSummary, summarise_drops
from tasks.planning import plan_drop
from tasks.record import begin_attempt, record_round
from tasks.run_report import leave_report
from tasks.selection import select_tokens
from tasks.status import works_elsewhere
from tasks.summary import summarise_round
from tokensieve.drops import sample_counts
from tokensieve.settings import CleanDropsSettings


@flow(name="clean-drops", flow_run_name="clean-drops-{settings.selection.method}")
def clean_drops(settings: CleanDropsSettings) -> DropsSummary:
    """Visit every drop that is complete and has changed; return what became of each.

    A drop that fails does not stop the others, unless what failed is a service or this machine.
    Its error is raised when they are done.
    """
    sighting = find_changed_drops(settings)
    visits: dict[str, Ending | Exception] = {}
    for drop in sighting.changed:
        visits[drop] = clean_drop(settings, drop, return_state=True).result(raise_on_failure=False)
        if may_pass(visits[drop]):
            break
    summary = summarise_drops(settings, sighting, visits)
    summary.raise_first()
    return summary


@flow(name="clean-drop", flow_run_name="clean-{drop}")
def clean_drop(settings: CleanDropsSettings, drop: str) -> Ending:
    """Clean what is new in a drop, unless another process does; return what became of it."""
    plan = plan_drop(settings, drop)
    cleaning = plan.cleaning
    if cleaning is None:
        return Ending("known", None, plan.warnings)
    if works_elsewhere(cleaning.storage, cleaning.run):
        return Ending("begun", None, ("another process of this machine works on it",))
    begin_attempt(cleaning.storage, cleaning.run)
    corpus = make_corpus(cleaning.corpus)
    if not sample_counts(corpus)["samples"]:
        stop_run(cleaning)
        return end_visit(plan, (), hold=False)
    collect_evidence(cleaning.evidence)
    select_tokens(cleaning.selection)
    record_round(cleaning.storage, cleaning.run, cleaning.round)
    summarise_round(cleaning.storage, cleaning.run, cleaning.round)
    alarms = check_drift(cleaning.storage, cleaning.run.name, plan.earlier_runs, settings.drift)
    ending = end_visit(plan, alarms, settings.drift.hold)
    leave_report(cleaning.storage, cleaning.run, cleaning.round)  # with the alarms
    return ending
