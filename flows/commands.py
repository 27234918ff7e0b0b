"""What each command does.

Each imports what it needs when it is called: Prefect and torch take seconds that `tokensieve sql`
should not. Those that only ask are in flows/question_commands.py.
"""

import argparse
from collections.abc import Iterator
from contextlib import contextmanager

from flows.flags import loaded
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


@contextmanager
def _prefect() -> Iterator[None]:
    """Run the block with a Prefect server that answers, and without those of killed runs."""
    from tasks.leftovers import end_leftovers
    from tasks.prefect_session import prefect_session

    end_leftovers()
    with prefect_session():
        yield
