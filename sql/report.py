"""Read from the index, and from the artifacts, what a report shows of a round."""

import json
from typing import Any

import duckdb

from sql.query import limited
from sql.statements import Value, rows, run
from tokensieve.report import Findings, ScoreBins, bin_numbers, bin_width
from tokensieve.storage import Storage

MAX_SECONDS = 600.0
"""What the statements of a report may take together."""
TELLING_TOKENS = 20
"""Vocabulary tokens that a report lists of those that were dropped most, and kept most."""
Row = dict[str, Any]
_DOCUMENTS = ("settings", "inputs", "models")


def read_findings(storage: Storage, run_name: str, round: int) -> Findings | None:
    """Return what the index says of a round of a run, or None if it does not hold it.

    The files of the round's samples are read twice. Raises what `limited` raises.
    """
    of_round: dict[str, Value] = {"run": run_name, "round": round}
    with limited(storage, MAX_SECONDS) as connection:
        stats = rows(run(connection, "summarise_round", **of_round))
        if not stats:
            return None
        policies = rows(run(connection, "list_policies", run=run_name))
        [asked] = rows(run(connection, "describe_run", run=run_name))

        def found(query: str, **more: Value) -> list[Row]:
            return rows(run(connection, query, **of_round, **more))

        return Findings(
            run=run_name,
            round=round,
            asked=asked | {name: json.loads(asked[name]) for name in _DOCUMENTS},
            stats=stats[0],
            sources=found("list_sources"),
            turns=found("list_turns"),
            positions=found("list_positions"),
            influence_bins=found("list_influence_bins"),
            score_bins=_score_bins(connection, of_round),
            telling_tokens=found("list_telling_tokens", most=TELLING_TOKENS),
            reasons=found("list_reasons"),
            policies=[row for row in policies if row["round"] == round],
            rejected=rows(run(connection, "list_rejected", run=run_name)),
            rounds=rows(run(connection, "summarise_rounds", run=run_name)),
            costs=rows(run(connection, "list_step_costs", run=run_name)),
        )


def list_extreme_samples(
    storage: Storage,
    of: tuple[str, int],
    most: int,
    other: tuple[str, int] | None = None,
    only_shared: bool = False,
) -> list[Row]:
    """Return the rows of the worst and the best samples of a round, `most` at most, worst first.

    `of` and `other`: run and round. `is_shared` tells whether the other round has the sample too,
    `num_ranked` of how many these are. Raises what `limited` raises.
    """
    run_name, round = of
    other_run, other_round = other or (None, None)
    asked: dict[str, Value] = {"run": run_name, "round": round, "most": most}
    asked |= {"other_run": other_run, "other_round": other_round, "only_shared": only_shared}
    with limited(storage, MAX_SECONDS) as connection:
        return rows(run(connection, "list_extreme_samples", **asked))


def _score_bins(
    connection: duckdb.DuckDBPyConnection, of_round: dict[str, Value]
) -> ScoreBins | None:
    [span] = rows(run(connection, "find_score_range", **of_round))
    if span["lowest"] is None:
        return None
    width = bin_width(span["lowest"], span["highest"])
    if not width:
        return None
    first, last = bin_numbers(span["lowest"], span["highest"], width)
    asked: dict[str, Value] = {"width": width, "first": first, "last": last}
    return ScoreBins(width, rows(run(connection, "list_score_bins", **of_round, **asked)))
