"""What each command does that asks about a workspace or looks after it: none of them needs Prefect.

Each imports what it needs when it is called, as those of flows/commands.py do.
"""

import argparse
from typing import Any

from flows.flags import given_s3


def run_approve(options: argparse.Namespace) -> None:
    """Release a drop that alarms held back, or tell which are."""
    from tasks.approval import approve_drop, describe_held

    storage = _workspace(options)
    print(approve_drop(storage, options.drop) if options.drop else describe_held(storage))


def run_sql(options: argparse.Namespace) -> None:
    """Answer a question to the index, or tell which have a name."""
    from tasks.asking import asked_query, describe_queries, query_of_file

    given = dict(options.set)
    if options.file:
        asked = query_of_file(options.file, given)
    elif options.statement is not None:
        asked = asked_query(options.statement, given)
    else:
        print(describe_queries())
        return
    from tasks.query import answer

    answer(_workspace(options), asked, given, options.format, options.output)


def run_index(options: argparse.Namespace) -> None:
    """Bring the index up to date."""
    from sql.index import rebuild_index, update_index

    storage = _workspace(options)
    print(rebuild_index(storage) if options.rebuild else update_index(storage))


def run_methods(options: argparse.Namespace) -> None:
    """Tell of every method, or all of one."""
    from tokensieve.methods.facts import describe_method, describe_methods

    print(describe_method(options.name) if options.name else describe_methods())


def run_status(options: argparse.Namespace) -> None:
    """Tell of every run and drop."""
    from tasks.approval import describe_drops
    from tasks.status import NUM_SHOWN, describe_runs

    storage = _workspace(options)
    print(describe_runs(storage, None if options.all else NUM_SHOWN))
    if drops := describe_drops(storage):
        print(f"\n{drops}")


def run_explore(options: argparse.Namespace) -> None:
    """Show it in a browser."""
    from tasks.explore import explore

    explore(_workspace(options), options.port, opens_browser=not options.no_browser)


def run_export(options: argparse.Namespace) -> None:
    """Write a selection as a trainer takes it."""
    from tasks.export import Wanted, export

    wanted = Wanted(options.selection, options.to, options.output, options.base, options.push)
    print(export(_workspace(options), wanted, given_s3(options)))


def run_history(options: argparse.Namespace) -> None:
    """Tell of the rounds of a run."""
    from tasks.history import describe_history

    print(describe_history(_workspace(options), options.run_name))


def run_show(options: argparse.Namespace) -> None:
    """Show one sample."""
    from rich.console import Console

    from tasks.show import Wanted, describe_sample

    asked = (options.sample, options.run_name, options.round)
    wanted = Wanted(*asked, options.column, options.diff, options.position)
    terminal = Console()
    is_coloured = terminal.color_system is not None and not terminal.no_color
    print(describe_sample(_workspace(options), wanted, is_coloured))


def run_report(options: argparse.Namespace) -> None:
    """Write a report of a round, and say where it lies."""
    from tasks.report import write_report

    storage = _workspace(options)
    shown = (options.run_name, options.round, options.against, options.samples)
    print(write_report(storage, *shown, options.output))


def run_verify(options: argparse.Namespace) -> None:
    """Check every hash."""
    from tasks.status import verify_artifacts

    print(verify_artifacts(_workspace(options)))


def run_gc(options: argparse.Namespace) -> None:
    """Find what nothing needs, and remove it if asked to."""
    from tasks.reclaim import describe_garbage, remove_garbage

    act = remove_garbage if options.delete else describe_garbage
    print(act(_workspace(options), options.older_than, options.forget))


def run_doctor(options: argparse.Namespace) -> None:
    """Check what a run depends on."""
    from tasks.doctor import diagnose, finding_lines, refuse_if_bad
    from tokensieve.storage import open_storage

    findings = []
    storage = open_storage(options.workspace, given_s3(options))
    for name, finding in diagnose(storage, options.ray_address):
        print(finding_lines(name, finding), flush=True)
        findings.append(finding)
    refuse_if_bad(findings)


def _workspace(options: argparse.Namespace) -> Any:
    from tokensieve.storage import open_storage

    storage = open_storage(options.workspace, given_s3(options))
    storage.check_is_there()
    return storage
