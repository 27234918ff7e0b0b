"""The commands that ask about a workspace or look after it, as the command line knows them."""

from argparse import ArgumentParser
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from flows import flags
from flows.question_commands import (
    run_approve,
    run_doctor,
    run_explore,
    run_export,
    run_gc,
    run_history,
    run_index,
    run_methods,
    run_report,
    run_show,
    run_sql,
    run_status,
    run_verify,
)
from flows.subcommands import add_command


def add_questions(commands: Any) -> None:
    """Add the commands that look at a workspace, and the one that looks at the methods."""
    methods = add_command(
        commands, "methods", run_methods, "what each method does and needs", "[NAME]"
    )
    purpose = "tell all of one method, and of its parameters"
    methods.add_argument("name", nargs="?", metavar="NAME", help=purpose)
    for command in (*_looks(commands), *_care(commands)):
        flags.add_workspace(command, "workspace")


def _looks(commands: Any) -> Iterator[ArgumentParser]:
    """Add and yield the commands that tell what was found."""
    query = add_command(commands, "sql", run_sql, "ask the index a read-only question", "[QUERY]")
    flags.add_query(query)
    yield query
    status = add_command(commands, "status", run_status, "what is done, running or interrupted")
    status.add_argument("--all", action="store_true", help="not only the runs last worked on")
    yield status
    purpose = "what each round of a run found, and how each arm did"
    history = add_command(commands, "history", run_history, purpose, "RUN")
    history.add_argument("run_name", metavar="RUN", help="its name, as status shows it")
    yield history
    purpose = "one sample in the terminal: each token, what was decided on it, and by which numbers"
    show = add_command(commands, "show", run_show, purpose, "SAMPLE_ID")
    _add_show(show)
    yield show
    purpose = "a round of a run as one HTML page: numbers, charts, and samples token by token"
    report = add_command(commands, "report", run_report, purpose, "RUN")
    _add_report(report)
    yield report
    purpose = "runs, samples, tokens and a box for SQL in a browser on this machine"
    explore = add_command(commands, "explore", run_explore, purpose)
    purpose = "to listen on, on loopback only (default: one that is free)"
    explore.add_argument("--port", type=int, default=0, metavar="N", help=purpose)
    purpose = "only print the address; else a browser opens, if there is one"
    explore.add_argument("--no-browser", action="store_true", help=purpose)
    yield explore
    purpose = "a selection as a trainer takes it, with what to tell that, and a card"
    export = add_command(commands, "export", run_export, purpose, "SELECTION --to TRAINER")
    _add_export(export)
    yield export


def _add_show(show: ArgumentParser) -> None:
    show.add_argument("sample", metavar="SAMPLE_ID", help="or a beginning that no other one has")
    purpose = "its name (default: of those that have the sample, the one last worked on)"
    show.add_argument("--run", dest="run_name", metavar="RUN", help=purpose)
    show.add_argument("--round", type=int, metavar="N", help="from 0 (default: the last one)")
    what = show.add_mutually_exclusive_group()
    purpose = "what tokens are coloured and ordered by, such as influence or base_nll"
    what.add_argument("--column", metavar="NAME", help=purpose)
    purpose = "another round that has the sample: which tokens only one of both kept"
    what.add_argument("--diff", metavar="RUN[:ROUND]", help=purpose)
    purpose = "all that is known of the token at this place of the sample, from 0"
    what.add_argument("--position", type=int, metavar="N", help=purpose)


def _add_report(report: ArgumentParser) -> None:
    report.add_argument("run_name", metavar="RUN", help="its name, as status shows it")
    purpose = "where the page is written (default: RUN.html in this directory)"
    report.add_argument("--output", type=Path, metavar="FILE", help=purpose)
    report.add_argument("--round", type=int, metavar="N", help="from 0 (default: the last one)")
    purpose = "the round that samples are compared with (default: the one before)"
    report.add_argument("--against", metavar="RUN[:ROUND]", help=purpose)
    purpose = "the worst and the best, so many together (default: %(default)s)"
    report.add_argument("--samples", type=int, default=500, metavar="N", help=purpose)


def _add_export(export: ArgumentParser) -> None:
    purpose = "name of a run (its last round is meant), or id of a selection"
    export.add_argument("selection", metavar="SELECTION", help=purpose)
    purpose = "trl, axolotl, llama-factory, olmo, levanter, preshifted, ms-swift or jsonl"
    export.add_argument("--to", required=True, metavar="TRAINER", help=purpose)
    purpose = "where the export's own directory is made (default: exports)"
    export.add_argument("--output", default="exports", metavar="DIR", help=purpose)
    purpose = "the model to train, which the recipe names; olmo and ms-swift need it"
    export.add_argument("--base", metavar="DIR", help=purpose)
    purpose = "put it on the Hugging Face hub too, as a private dataset"
    export.add_argument("--push", metavar="NAME", help=purpose)


def _care(commands: Any) -> Iterator[ArgumentParser]:
    """Add and yield the commands that look after a workspace, or change it."""
    index = add_command(commands, "index", run_index, "bring the index up to what is finished")
    index.add_argument("--rebuild", action="store_true", help="make it anew from the artifacts")
    yield index
    approve = add_command(commands, "approve", run_approve, "release a drop that is held", "[DROP]")
    purpose = "its name; without one, those that are held are listed"
    approve.add_argument("drop", nargs="?", metavar="DROP", help=purpose)
    yield approve
    yield add_command(commands, "verify", run_verify, "check the hash of every published file")
    purpose = "find what no run needs, and remove it if told to"
    reclaim = add_command(commands, "gc", run_gc, purpose)
    reclaim.add_argument("--delete", action="store_true", help="remove it; else it is only listed")
    purpose = "only what was written so long ago; never less than a day"
    reclaim.add_argument(
        "--older-than", type=float, default=1.0, metavar="DAYS", help=f"{purpose} (default: 1)"
    )
    purpose = "a run whose documents go too, and with them what it alone needs; may be repeated"
    reclaim.add_argument("--forget", action="append", default=[], metavar="RUN", help=purpose)
    yield reclaim
    purpose = "check what a run depends on, and say how to fix it"
    doctor = add_command(commands, "doctor", run_doctor, purpose)
    purpose = "a running cluster; unset: one is started on this machine"
    doctor.add_argument("--ray-address", metavar="HOST:PORT", help=purpose)
    yield doctor
