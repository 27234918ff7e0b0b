"""Record a finished round: its artifacts, and the statistics of its tokens."""

import duckdb

from sql.recording.artifacts import (
    Committed,
    committed,
    cost_of,
    insert,
    record_artifact,
    whole_of,
)
from sql.recording.staging import stage_choices, stage_round
from sql.recording.trainings import record_training
from sql.statements import run, run_given
from tokensieve.artifact import Artifact
from tokensieve.runs import FinishedRound, Outcome, Round, Run
from tokensieve.storage import Storage

_STATISTICS = (
    "record_round_stats",
    "record_source_stats",
    "record_turn_stats",
    "record_sample_stats",
    "record_influence_histogram",
    "record_attribute_stats",
    "record_reason_stats",
    "record_policy_stats",
    "record_special_stats",
)


def record_round(
    connection: duckdb.DuckDBPyConnection,
    storage: Storage,
    of_run: Run,
    finished: FinishedRound,
) -> None:
    """Add a finished round of a recorded run to the index, after the rounds before it."""
    round = finished.round
    steps = {step: committed(each) for step, each in round.artifacts(storage).items()}
    for each in steps.values():
        record_artifact(connection, each)
    whole = whole_of(steps["corpus"].artifact)
    _record_vocabulary(connection, whole)
    insert(connection, "record_round", [_row(of_run, finished, whole)])
    _record_scores(connection, of_run, round)
    _record_costs(connection, of_run, round, steps)
    if "model" in steps:
        record_training(connection, steps["model"])
    _record_statistics(connection, of_run, round, steps, whole)
    _record_overlap(connection, storage, of_run, round)


def _row(of_run: Run, finished: FinishedRound, whole: Artifact) -> dict[str, object]:
    round, nothing = finished.round, dict.fromkeys(Outcome.model_fields)
    return {
        "run": of_run.name,
        "round": round.round,
        "corpus": round.corpus,
        "whole": whole.id,
        "selection": round.selection,
        "model": round.model,
    } | (finished.outcome.model_dump() if finished.outcome else nothing)


def _record_scores(connection: duckdb.DuckDBPyConnection, of_run: Run, round: Round) -> None:
    named = {"run": of_run.name, "round": round.round}
    scores = [named | {"role": role, "scores": id} for role, id in round.scores.items()]
    insert(connection, "record_round_scores", scores)


def _record_vocabulary(connection: duckdb.DuckDBPyConnection, corpus: Artifact) -> None:
    receipt = committed(corpus).commit.receipts[0]
    vocabulary = corpus.read_table(receipt, "vocabulary")
    run_given(connection, "record_vocabulary", vocabulary, corpus=corpus.id)


def _record_costs(
    connection: duckdb.DuckDBPyConnection, of_run: Run, round: Round, steps: dict[str, Committed]
) -> None:
    named = {"run": of_run.name, "round": round.round}
    costs = [
        named | {"step": step, "artifact": each.artifact.id} | cost_of([each.artifact])
        for step, each in steps.items()
    ]
    insert(connection, "record_step_costs", costs)


def _record_statistics(
    connection: duckdb.DuckDBPyConnection,
    of_run: Run,
    round: Round,
    steps: dict[str, Committed],
    whole: Artifact,
) -> None:
    connection.commit()  # nobody sees the build, and staging goes on outside of a transaction
    stage_round(connection, steps, whole.id)
    connection.begin()
    run(connection, "summarise_groups")
    for statement in _STATISTICS:
        run(connection, statement, run=of_run.name, round=round.round)
    run(connection, "record_token_stats", run=of_run.name, round=round.round, whole=whole.id)
    run(connection, "drop_staging")


def _record_overlap(
    connection: duckdb.DuckDBPyConnection, storage: Storage, of_run: Run, round: Round
) -> None:
    """Compare what the round kept with what the round before did, if they share samples."""
    name, number = of_run.name, round.round
    if run(connection, "count_shared_samples", run=name, round=number).fetchall() == [(0,)]:
        return
    before = of_run.finished_rounds(storage)[number - 1].round
    run(connection, "create_staged_choices")
    for each in (before, round):
        made = each.artifacts(storage)
        wanted = ("corpus", "selection", "model")
        steps = {step: committed(made[step]) for step in wanted if step in made}
        stage_choices(connection, steps, is_before=each is before)
    run(connection, "record_overlap_stats", run=name, round=number)
    run(connection, "drop_staged_choices")
