"""Keep a report beside a run's documents, and show in the Prefect UI where it lies."""

import sys

from prefect import task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE

import sql
from tasks.report import make_report
from tokensieve.report import report_page
from tokensieve.runs import Round, Run
from tokensieve.storage import Storage

MAX_TOKENS = 20_000_000
"""Response tokens of a round that is reported unasked: some seconds, as every token is read."""
NUM_SAMPLES = 100
"""Samples of such a report."""


def report_key(run_name: str) -> str:
    """Return the name of the report that a run leaves in the workspace."""
    return f"runs/{run_name}/report.html"


def leave_report(storage: Storage, run: Run, round: Round) -> None:
    """Report a finished round. What goes wrong is told, and fails nothing: what the run was for is
    published.
    """
    state = keep_report(storage, run, round, return_state=True)
    if not state.is_completed():
        print(
            f"report: was not written: {state.message}\nThe round is published and complete; "
            f"`tokensieve report {run.name}` writes its report.",
            file=sys.stderr,
        )


@task(name="keep-report", task_run_name="keep-report", cache_policy=NO_CACHE)
def keep_report(storage: Storage, run: Run, round: Round) -> None:
    """Put the report of a finished round in the place of that of an earlier one, unless it is too
    large to be reported in passing; say in the Prefect UI where it lies, and how to get more.
    """
    key = report_key(run.name)
    if _num_tokens(storage, run, round) <= MAX_TOKENS:
        report = make_report(storage, run.name, round.round, None, NUM_SAMPLES)
        storage.replace_bytes(key, report_page(report))
        told = f"{NUM_SAMPLES} samples at most: `{storage.place(key)}`"
    else:
        storage.remove(key)  # it is of an earlier round
        told = f"Written when asked for: the round has more than {MAX_TOKENS:,} response tokens."
    command = f"tokensieve report {run.name} --workspace {storage}"
    body = f"{told}\n\nMore samples, another round, or beside another run: `{command}`"
    create_markdown_artifact(body, key="report", description=run.name)


def _num_tokens(storage: Storage, run: Run, round: Round) -> int:
    """Return the response tokens of a round."""
    with sql.connect_published(storage) as connection:
        found = sql.run(connection, "summarise_round", run=run.name, round=round.round)
        [stats] = sql.rows(found)
    return int(stats["response_tokens"])
