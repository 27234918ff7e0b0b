"""Tell what the rounds of a run found, one line each, and how the arms of a comparison did."""

from collections.abc import Callable, Iterable
from itertools import groupby
from typing import Any, NamedTuple

import sql
from tasks.policies import told_policies
from tokensieve.runs import Run, named_run
from tokensieve.storage import Storage

Row = dict[str, Any]
_VERDICTS = {True: "promoted", False: "rejected", None: "-"}


class _Column(NamedTuple):
    heading: str
    form: str
    """Alignment and width."""
    text: Callable[[Row], str]


_ROUND_COLUMNS = (
    _Column("round", ">5", lambda row: str(row["round"])),
    _Column("kept", ">9", lambda row: _percent(row["kept_share"])),
    _Column("influence", ">11", lambda row: _number(row["influence_p50"], 3)),
    _Column("positive", ">10", lambda row: _percent(row["positive_share"])),
    _Column("overlap", ">9", lambda row: _percent(row["overlap"])),
    _Column("held-out loss", ">20", lambda row: _change(row["loss_before"], row["loss_after"])),
    _Column("model", ">10", lambda row: _VERDICTS[row["promoted"]]),
    _Column("training loss", ">20", lambda row: _change(row["first_loss"], row["last_loss"])),
    _Column("seconds", ">11", lambda row: _number(row["seconds"], 1)),
)
_ARM_COLUMNS = (
    _Column("arm", "<20", lambda row: str(row["arm"])),
    _Column("seed", ">8", lambda row: str(row["seed"])),
    _Column("held-out loss", ">15", lambda row: _number(row["loss"], 4)),
    _Column("exact match", ">13", lambda row: _percent(row["exact_match"])),
    _Column("kept", ">9", lambda row: _percent(row["kept_share"])),
    _Column("forward passes", ">16", lambda row: _number(row["forward_passes"], 2)),
    _Column("seconds", ">11", lambda row: _number(row["seconds"], 1)),
)


def describe_history(storage: Storage, run_name: str) -> str:
    """Return a table of the run's finished rounds, and one of its finished arms, in ASCII.

    Influence is the median in nats, losses are in nats per token, seconds are those of all steps
    of the round whose time is known. Raises SettingsError if there is no such run, and what
    `connect_published` raises.
    """
    run = named_run(storage, run_name)
    num_finished = len(run.finished_rounds(storage)) + len(run.finished_arms(storage))
    if not num_finished:
        return f"{run.name}: no round is finished yet; `tokensieve status` tells how far it is"
    with sql.connect_published(storage) as connection:
        rounds = sql.rows(sql.run(connection, "summarise_rounds", run=run.name))
        arms = sql.rows(sql.run(connection, "list_arms", run=run.name))
        changes = sql.rows(sql.run(connection, "list_policies", run=run.name))
    lines = [_title(storage, run)]
    for columns, rows in ((_ROUND_COLUMNS, rounds), (_ARM_COLUMNS, arms)):
        lines += ["", *_table(columns, rows)] if rows else []
    reasons = [_reason(row) for row in rounds if row["reason"]]
    lines += ["", *reasons] if reasons else []
    policies = [f"round {n}: {told_policies([*each])}" for n, each in groupby(changes, _round)]
    lines += ["", *policies] if policies else []
    num_missing = num_finished - len(rounds) - len(arms)
    if num_missing:
        lines += ["", f"The index lacks {num_missing} more: run `tokensieve index`."]
    return "\n".join(lines)


def _title(storage: Storage, run: Run) -> str:
    reason = run.stopped(storage)
    return f"{run.name}: stopped: {reason}" if reason else run.name


def _table(columns: Iterable[_Column], rows: list[Row]) -> list[str]:
    heading = "".join(format(column.heading, column.form) for column in columns)
    return [heading] + [
        "".join(format(column.text(row), column.form) for column in columns) for row in rows
    ]


def _round(row: Row) -> int:
    return int(row["round"])


def _reason(row: Row) -> str:
    return f"round {row['round']}: {_VERDICTS[row['promoted']]} ({row['reason']})"


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.1f} %"


def _number(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:,.{digits}f}"


def _change(before: float | None, after: float | None) -> str:
    """Return a loss before and after; a dash where nothing was measured."""
    if before is None and after is None:
        return "-"
    return f"{_number(before, 4)} -> {_number(after, 4)}"
