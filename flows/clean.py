"""Clean a drop: which of its tokens are worth training on?

    files --> corpus --+-- base scores ------+
                       |                     +--> selection --> index --> summary
                       +-- reference scores -+

Run again after any crash: what is finished is found, and only the rest is done.
"""

from prefect import flow

from flows.evidence import collect_evidence
from tasks.corpus import make_corpus
from tasks.planning import plan_run
from tasks.record import begin_attempt, record_round
from tasks.run_report import leave_report
from tasks.selection import select_tokens
from tasks.summary import Summary, summarise_round
from tokensieve.settings import CleanSettings


@flow(name="clean", flow_run_name="clean-{settings.selection.method}")
def clean(settings: CleanSettings) -> Summary:
    """Return what was kept and dropped, and where the dataset, the scores and the index lie."""
    plan = plan_run(settings)
    begin_attempt(plan.storage, plan.run)
    make_corpus(plan.corpus)
    collect_evidence(plan.evidence)
    select_tokens(plan.selection)
    record_round(plan.storage, plan.run, plan.round)
    leave_report(plan.storage, plan.run, plan.round)
    return summarise_round(plan.storage, plan.run, plan.round)
