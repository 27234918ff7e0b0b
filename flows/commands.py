"""What each command does.

Each imports what it needs when it is called: Prefect and torch take seconds that `tokensieve sql`
should not.
"""

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from flows.flags import given_s3, loaded
from tokensieve.settings import (
    BenchmarkSettings,
    CleanDropsSettings,
    CleanSettings,
    CompareSettings,
    EvolveSettings,
    TrainSettings,
)


def run_clean(options: argparse.Namespace) -> None:
    """Clean a drop, or say what it would cost."""
    settings = loaded(CleanSettings, options)
    if options.dry_run:
        from tasks.dry_run import estimate_run

        print(estimate_run(settings))
        return
    from tokensieve.planning import check_given

    check_given(settings)
    with _prefect():
        from flows.clean import clean

        print(clean(settings))


def run_clean_drops(options: argparse.Namespace) -> None:
    """Clean what is new at a location. The flow's last task shows what became of it."""
    settings = loaded(CleanDropsSettings, options)
    from tokensieve.planning import check_drops_given

    check_drops_given(settings)
    with _prefect():
        from flows.clean_drops import clean_drops

        clean_drops(settings)


def run_approve(options: argparse.Namespace) -> None:
    """Release a drop that alarms held back, or tell which are."""
    from tasks.approval import approve_drop, describe_held

    storage = _workspace(options)
    print(approve_drop(storage, options.drop) if options.drop else describe_held(storage))


def run_train(options: argparse.Namespace) -> None:
    """Train a model on a selection."""
    settings = loaded(TrainSettings, options)
    from tokensieve.planning import check_train_given

    check_train_given(settings)
    with _prefect():
        from flows.train import train

        print(train(settings))


def run_evolve(options: argparse.Namespace) -> None:
    """Do all rounds that are not done yet, or the next one."""
    settings = loaded(EvolveSettings, options)
    from tokensieve.planning import check_evolve_given, check_harden_given, hardens

    if hardens(settings):
        check_harden_given(settings)
        with _prefect():
            from flows.harden import harden, harden_round

            print(harden_round(settings) if options.next_round else harden(settings))
        return
    check_evolve_given(settings)
    with _prefect():
        from flows.evolve import evolve, evolve_round

        print(evolve_round(settings) if options.next_round else evolve(settings))


def run_compare(options: argparse.Namespace) -> None:
    """Compare arms."""
    settings = loaded(CompareSettings, options)
    from tokensieve.planning import check_compare_given

    check_compare_given(settings)
    with _prefect():
        from flows.compare import compare

        print(compare(settings))


def run_benchmark(options: argparse.Namespace) -> None:
    """Plant noise, and see who finds it."""
    settings = loaded(BenchmarkSettings, options)
    from tokensieve.planning import check_benchmark_given

    check_benchmark_given(settings)
    with _prefect():
        from flows.benchmark import benchmark

        print(benchmark(settings))


def run_demo(options: argparse.Namespace) -> None:
    """Show all of it on data of its own."""
    from rich.console import Console

    with _prefect():
        from flows.demo import demo

        Console(highlight=False).print(demo(options.workspace.absolute()), soft_wrap=True)


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


def run_history(options: argparse.Namespace) -> None:
    """Tell of the rounds of a run."""
    from tasks.history import describe_history

    print(describe_history(_workspace(options), options.run_name))


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


@contextmanager
def _prefect() -> Iterator[None]:
    """Run the block with a Prefect server that answers, and without those of killed runs."""
    from tasks.leftovers import end_leftovers
    from tasks.prefect_session import prefect_session

    end_leftovers()
    with prefect_session():
        yield


def _workspace(options: argparse.Namespace) -> Any:
    from tokensieve.storage import open_storage

    storage = open_storage(options.workspace, given_s3(options))
    storage.check_is_there()
    return storage
