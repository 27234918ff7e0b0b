"""The command line: `tokensieve COMMAND …`."""

import argparse
import os
import sys
from io import TextIOWrapper
from pathlib import Path
from typing import Any

from flows import flags
from flows.commands import (
    run_benchmark,
    run_clean,
    run_clean_drops,
    run_compare,
    run_demo,
    run_evolve,
    run_train,
)
from flows.questions import add_questions
from flows.subcommands import add_command
from tokensieve import __version__
from tokensieve.errors import ResourceError, TokensieveError
from tokensieve.settings import (
    BenchmarkSettings,
    CleanDropsSettings,
    CleanSettings,
    CompareSettings,
    EvolveSettings,
    Settings,
    TrainSettings,
)

INTERRUPTED = 130
"""Exit code after Ctrl-C, as shells have it."""

# The terminal shows our bars, summaries and errors; Prefect's log goes to its server in full.
_DEFAULTS = {
    "DO_NOT_TRACK": "1",
    "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "CRITICAL",
    "PREFECT_RESULTS_DEFAULT_SERIALIZER": "json",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PYTHONSAFEPATH": "1",  # what is started here imports nothing from where a command is started
}


def main(arguments: list[str] | None = None) -> None:
    """Run one command and exit with its code."""
    for name, value in _DEFAULTS.items():
        os.environ.setdefault(name, value)
    options = parser().parse_args(arguments)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a terminal may know ASCII only
    sys.exit(_exit_code(options))


def _exit_code(options: argparse.Namespace) -> int:
    """Run the command; say what went wrong, and return the process's exit code."""
    try:
        options.run(options)
        sys.stdout.flush()
    except TokensieveError as error:
        print(f"tokensieve: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print(
            "\ntokensieve: interrupted. Finished shards and checkpoints are kept; the same command "
            "goes on.",
            file=sys.stderr,
        )
        return INTERRUPTED
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # nothing more gets out
        if not isinstance(error, BrokenPipeError):  # that reader has seen enough
            print(f"tokensieve: {error.filename or 'output'}: {error.strerror}", file=sys.stderr)
            return ResourceError.exit_code
    return 0


def parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command line."""
    whole = argparse.ArgumentParser(
        prog="tokensieve",
        description="Cleans LLM fine-tuning data at the level of tokens.",
        epilog="Exit codes: 2 settings, 3 input, 4 too many bad rows, 5 conflict, 6 disk or "
        "memory, 7 damaged files, 8 a service does not answer, 130 interrupted.",
    )
    whole.add_argument("--version", action="version", version=f"tokensieve {__version__}")
    commands = whole.add_subparsers(title="commands", required=True, metavar="COMMAND")
    _add_clean(commands)
    _add_clean_drops(commands)
    _add_train(commands)
    _add_evolve(commands)
    _add_compare(commands)
    _add_benchmark(commands)
    demo = add_command(
        commands, "demo", run_demo, "make a small noisy corpus and clean it, offline"
    )
    purpose = "where everything it makes lies (default: workspace/demo)"
    default = Path("workspace/demo")
    demo.add_argument("--workspace", type=Path, default=default, metavar="DIR", help=purpose)
    add_questions(commands)
    return whole


def _add_clean(commands: Any) -> None:
    purpose = "score, select, and write the training-ready dataset"
    command = add_command(commands, "clean", run_clean, purpose, "[FILE ...]")
    flags.add_run(command)
    command.add_argument("--dry-run", action="store_true", help="say what it would cost, then stop")
    flags.add_drop(command, trains=False)
    flags.add_given(command, "the better model that shows what is learnable")
    flags.add_selection(command, seed=True)
    flags.add_policies(command)
    flags.add_cluster(command)
    _tell_settings(command, CleanSettings, "laptop.toml")


def _add_clean_drops(commands: Any) -> None:
    purpose = "clean whatever is new at a place where drops arrive"
    command = add_command(commands, "clean-drops", run_clean_drops, purpose, "[LOCATION]")
    flags.add_location(command)
    flags.add_run(command)
    flags.add_corpus(command)
    flags.add_given(command, "the better model that shows what is learnable")
    flags.add_selection(command, seed=True)
    flags.add_policies(command)
    flags.add_cluster(command)
    _tell_settings(command, CleanDropsSettings, "clean_drops.toml")


def _add_train(commands: Any) -> None:
    purpose = "train a model on what a cleaning kept"
    command = add_command(commands, "train", run_train, purpose, "[SELECTION]")
    purpose = "name of a run (its last round is meant), or id of a selection"
    command.add_argument("selection", nargs="?", metavar="SELECTION", help=purpose)
    flags.add_run(command)
    purpose = "the model to start from, by directory or id; unset: the base"
    command.add_argument("--init", metavar="DIR", help=purpose)
    flags.add_training(command, seed=True)
    flags.add_cluster(command)
    _tell_settings(command, TrainSettings, "train.toml")


def _add_evolve(commands: Any) -> None:
    purpose = "rounds of score, select and train, each with the reference of the last"
    command = add_command(commands, "evolve", run_evolve, purpose, "[FILE ...]")
    flags.add_run(command)
    command.add_argument("--next-round", action="store_true", help="do one round, then stop")
    flags.add_drop(command, trains=True)
    flags.add_rounds(command)
    flags.add_hardening(command)
    flags.add_selection(command, seed=False)
    flags.add_policies(command)
    flags.add_training(command, seed=True)
    flags.add_cluster(command)
    _tell_settings(command, EvolveSettings, "evolve.toml")


def _add_compare(commands: Any) -> None:
    purpose = "does cleaning help on your data? Train, evaluate and compare arms"
    command = add_command(commands, "compare", run_compare, purpose, "[FILE ...]")
    flags.add_run(command)
    flags.add_drop(command, trains=True)
    flags.add_comparison(command)
    flags.add_policies(command)
    flags.add_given(command, "the better model; unset: the base after the warm-up")
    flags.add_evaluation(command)
    flags.add_rounds(command)
    flags.add_training(command, seed=False)
    flags.add_cluster(command)
    _tell_settings(command, CompareSettings, "compare.toml")


def _add_benchmark(commands: Any) -> None:
    purpose = "which method finds the noise in data like yours? Plant some, and see"
    command = add_command(commands, "benchmark", run_benchmark, purpose, "[FILE ...]")
    flags.add_run(command)
    flags.add_drop(command, trains=True)
    flags.add_comparison(command)
    flags.add_policies(command)
    purpose = "of the answers, into which noise is planted"
    command.add_argument(
        "--noise-rate", dest="noise_rate", type=float, metavar="SHARE", help=purpose
    )
    purpose = "the better model; unset: the base after a warm-up on the noisy drop"
    flags.add_given(command, purpose, numbers=False)
    flags.add_evaluation(command)
    flags.add_rounds(command)
    flags.add_training(command, seed=False)
    flags.add_cluster(command)
    _tell_settings(command, BenchmarkSettings, "benchmark.toml")


def _tell_settings(
    command: argparse.ArgumentParser, settings: type[Settings], example: str
) -> None:
    """Say in the command's help what the defaults are, and which file shows the other settings."""
    flags.tell_defaults(command, settings)
    command.epilog = f"Every setting, with its default: deployments/configs/{example}"
