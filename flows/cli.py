"""The command line: `tokensieve COMMAND …`."""

import argparse
import os
import sys
from collections.abc import Callable
from io import TextIOWrapper
from pathlib import Path
from typing import Any

from flows import flags
from flows.commands import (
    run_clean,
    run_compare,
    run_demo,
    run_evolve,
    run_history,
    run_index,
    run_sql,
    run_status,
    run_train,
    run_verify,
)
from tokensieve import __version__
from tokensieve.errors import ResourceError, TokensieveError

INTERRUPTED = 130
"""Exit code after Ctrl-C, as shells have it."""

# The terminal shows our bars, summaries and errors; Prefect's log goes to its server in full.
_PREFECT_DEFAULTS = {
    "DO_NOT_TRACK": "1",
    "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "CRITICAL",
    "PREFECT_RESULTS_DEFAULT_SERIALIZER": "json",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
}


def main(arguments: list[str] | None = None) -> None:
    """Run one command and exit with its code."""
    for name, value in _PREFECT_DEFAULTS.items():
        os.environ.setdefault(name, value)
    options = _parser().parse_args(arguments)
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
            "\ntokensieve: interrupted. Finished shards are kept; the same command goes on.",
            file=sys.stderr,
        )
        return INTERRUPTED
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # nothing more gets out
        if not isinstance(error, BrokenPipeError):  # that reader has seen enough
            print(f"tokensieve: {error.filename or 'output'}: {error.strerror}", file=sys.stderr)
            return ResourceError.exit_code
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="tokensieve",
        description="Cleans LLM fine-tuning data at the level of tokens.",
        epilog="Exit codes: 2 settings, 3 input, 4 too many bad rows, 5 conflict, 6 disk or "
        "memory, 7 damaged files, 8 a service does not answer, 130 interrupted.",
    )
    parser.add_argument("--version", action="version", version=f"tokensieve {__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    _add_flows(commands)
    _add_questions(commands)
    return parser


def _add_flows(commands: Any) -> None:
    """Add the commands that do work."""
    purpose = "score, select and write the training-ready dataset"
    clean = _command(commands, "clean", run_clean, purpose)
    flags.add_drop(clean)
    clean.add_argument("--reference", metavar="DIR", help="directory of the better model")
    flags.add_selection(clean, seed=True)
    clean.add_argument("--dry-run", action="store_true", help="say what it would cost, do nothing")
    train = _command(commands, "train", run_train, "train a model on what a cleaning kept")
    train.add_argument("selection", metavar="SELECTION", help="id of a selection, or name of a run")
    flags.add_run(train)
    train.add_argument("--init", metavar="DIR", help="model to start from, instead of the base")
    flags.add_training(train, seed=True)
    purpose = "rounds of score, select and train, each with the reference of the last"
    evolve = _command(commands, "evolve", run_evolve, purpose)
    flags.add_drop(evolve)
    flags.add_rounds(evolve)
    flags.add_selection(evolve, seed=False)
    flags.add_training(evolve, seed=True)
    evolve.add_argument("--next-round", action="store_true", help="do the next round only")
    purpose = "does cleaning help on this data? train and evaluate arms"
    compare = _command(commands, "compare", run_compare, purpose)
    flags.add_drop(compare)
    flags.add_rounds(compare)
    flags.add_comparison(compare)
    flags.add_training(compare, seed=False)
    demo = _command(commands, "demo", run_demo, "make a small noisy corpus and clean it, offline")
    flags.add_workspace(demo, Path("workspace/demo"))


def _add_questions(commands: Any) -> None:
    """Add the commands that look at a workspace."""
    query = _command(commands, "sql", run_sql, "ask the index a read-only question")
    query.add_argument("statement", metavar="SELECT", help="one SELECT, DESCRIBE, SHOW or EXPLAIN")
    query.add_argument("--format", choices=("table", "csv", "json", "parquet"), default="table")
    query.add_argument(
        "--output", type=Path, metavar="FILE", help="write here, not to the terminal"
    )
    index = _command(commands, "index", run_index, "bring the index up to the finished runs")
    index.add_argument("--rebuild", action="store_true", help="make it anew from the artifacts")
    status = _command(commands, "status", run_status, "what is done, running or interrupted")
    history = _command(commands, "history", run_history, "what each round of a run found")
    history.add_argument("run_name", metavar="RUN", help="its name, as status shows it")
    verify = _command(commands, "verify", run_verify, "check the hash of every published file")
    for command in (query, index, status, history, verify):
        flags.add_workspace(command, Path("workspace"))


def _command(
    commands: Any, name: str, run: Callable[[argparse.Namespace], None], purpose: str
) -> argparse.ArgumentParser:
    command: argparse.ArgumentParser = commands.add_parser(name, help=purpose, description=purpose)
    command.set_defaults(run=run)
    return command
