"""The command line: `tokensieve COMMAND …`.

A few flags that a person types; everything else is in the settings file. Each command imports what
it needs when it is called: Prefect and torch take seconds that `tokensieve sql` should not.
"""

import argparse
import os
import sys
from collections.abc import Callable
from io import TextIOWrapper
from pathlib import Path
from typing import Any

from tokensieve import __version__
from tokensieve.errors import ResourceError, SettingsError, TokensieveError
from tokensieve.settings import CleanSettings

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


def _clean(options: argparse.Namespace) -> None:
    settings = CleanSettings.load(options.config, _flags(options))
    if options.dry_run:
        from tasks.dry_run import estimate_run

        print(estimate_run(settings))
        return
    from tokensieve.planning import check_given

    check_given(settings)
    from flows.clean import clean
    from tasks.leftovers import end_leftovers
    from tasks.prefect_session import prefect_session

    end_leftovers()
    with prefect_session():
        print(clean(settings))


def _demo(options: argparse.Namespace) -> None:
    from rich.console import Console

    from flows.demo import demo
    from tasks.leftovers import end_leftovers
    from tasks.prefect_session import prefect_session

    end_leftovers()
    with prefect_session():
        Console(highlight=False).print(demo(options.workspace.absolute()), soft_wrap=True)


def _sql(options: argparse.Namespace) -> None:
    from tasks.query import answer

    answer(_workspace(options), options.statement, options.format, options.output)


def _index(options: argparse.Namespace) -> None:
    from sql.index import rebuild_index, update_index

    storage = _workspace(options)
    print(rebuild_index(storage) if options.rebuild else update_index(storage))


def _status(options: argparse.Namespace) -> None:
    from tasks.status import describe_runs

    print(describe_runs(_workspace(options)))


def _history(options: argparse.Namespace) -> None:
    from tasks.history import describe_history

    print(describe_history(_workspace(options), options.run_name))


def _verify(options: argparse.Namespace) -> None:
    from tasks.status import verify_artifacts

    print(verify_artifacts(_workspace(options)))


def _workspace(options: argparse.Namespace) -> Any:
    from tokensieve.storage import LocalStorage

    if not options.workspace.is_dir():
        raise SettingsError(
            f"{options.workspace}: no workspace is there. Give the one of your run by --workspace."
        )
    return LocalStorage(options.workspace.absolute())


def _flags(options: argparse.Namespace) -> dict[str, Any]:
    """Return the flags as settings; None where a flag was not given."""
    return {
        "files": options.files or None,
        "base": options.base,
        "reference": options.reference,
        "workspace": options.workspace,
        "corpus": {
            "template": options.template,
            "split": options.split,
            "max_quarantine": options.max_quarantine,
        },
        "selection": {
            "method": options.method,
            "keep": options.keep,
            "scope": options.scope,
            "seed": options.seed,
        },
        "cluster": {"workers": options.workers, "address": options.ray_address},
    }


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="tokensieve",
        description="Cleans LLM fine-tuning data at the level of tokens.",
        epilog="Exit codes: 2 settings, 3 input, 4 too many bad rows, 5 conflict, 6 disk or "
        "memory, 7 damaged files, 8 a service does not answer, 130 interrupted.",
    )
    parser.add_argument("--version", action="version", version=f"tokensieve {__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    _add_clean(commands)
    demo = _command(commands, "demo", _demo, "make a small noisy corpus and clean it, offline")
    _add_workspace(demo, Path("workspace/demo"))
    query = _command(commands, "sql", _sql, "ask the index a read-only question")
    query.add_argument("statement", metavar="SELECT", help="one SELECT, DESCRIBE, SHOW or EXPLAIN")
    query.add_argument("--format", choices=("table", "csv", "json", "parquet"), default="table")
    query.add_argument(
        "--output", type=Path, metavar="FILE", help="write here, not to the terminal"
    )
    _add_workspace(query, Path("workspace"))
    index = _command(commands, "index", _index, "bring the index up to the finished runs")
    index.add_argument("--rebuild", action="store_true", help="make it anew from the artifacts")
    _add_workspace(index, Path("workspace"))
    status = _command(commands, "status", _status, "what is done, running or interrupted")
    _add_workspace(status, Path("workspace"))
    history = _command(commands, "history", _history, "what each round of a run found")
    history.add_argument("run_name", metavar="RUN", help="its name, as status shows it")
    _add_workspace(history, Path("workspace"))
    verify = _command(commands, "verify", _verify, "check the hash of every published file")
    _add_workspace(verify, Path("workspace"))
    return parser


def _add_clean(commands: Any) -> None:
    clean = _command(
        commands, "clean", _clean, "score, select and write the training-ready dataset"
    )
    clean.add_argument(
        "files", nargs="*", metavar="FILE", help="JSONL, Parquet, a dataset directory"
    )
    clean.add_argument(
        "--config", type=Path, metavar="TOML", help="settings file; flags go over it"
    )
    clean.add_argument("--base", metavar="DIR", help="directory of the base model")
    clean.add_argument("--reference", metavar="DIR", help="directory of the better model")
    clean.add_argument("--method", metavar="NAME", help="fixed-model, rho, random or full")
    clean.add_argument("--keep", type=float, metavar="SHARE", help="share of tokens kept, e.g. 0.6")
    clean.add_argument("--scope", choices=("dataset", "source", "sample"))
    clean.add_argument("--seed", type=int, help="seed of methods that draw")
    clean.add_argument(
        "--template", metavar="NAME", help="model, tulu, chatml, alpaca, plain, a file"
    )
    clean.add_argument("--split", metavar="NAME", help="which split of a dataset that has several")
    clean.add_argument("--workers", type=int, metavar="N", help="scoring workers")
    clean.add_argument("--max-quarantine", type=float, metavar="SHARE", help="bad rows accepted")
    clean.add_argument("--ray-address", metavar="HOST:PORT", help="a running Ray cluster")
    clean.add_argument("--dry-run", action="store_true", help="say what it would cost, do nothing")
    _add_workspace(clean, None)


def _command(
    commands: Any, name: str, run: Callable[[argparse.Namespace], None], purpose: str
) -> argparse.ArgumentParser:
    command: argparse.ArgumentParser = commands.add_parser(name, help=purpose, description=purpose)
    command.set_defaults(run=run)
    return command


def _add_workspace(command: argparse.ArgumentParser, default: Path | None) -> None:
    command.add_argument(
        "--workspace", type=Path, default=default, metavar="DIR", help="where the artifacts lie"
    )
