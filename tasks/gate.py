"""Judge a new reference by its loss on held-out data."""

import sys
from collections.abc import Iterator, Sequence

from prefect import get_run_logger, task
from prefect.cache_policies import NO_CACHE

from tokensieve.corpus import Float32s, Shard, read_shard, score_column
from tokensieve.evaluation import held_out_loss
from tokensieve.planning import EvolvePlan, RoundPlan, ScoringStep, outcome_of, reason_to_stop
from tokensieve.runs import Outcome


@task(name="judge-reference", task_run_name="judge-reference", cache_policy=NO_CACHE)
def judge_reference(plan: EvolvePlan, round: RoundPlan, held_out: Sequence[ScoringStep]) -> Outcome:
    """Return whether the round's model becomes the reference.

    `held_out`: the scored former reference and new model, or nothing.
    """
    losses = [loss_of(step) for step in held_out]
    outcome = outcome_of(plan, round.round.round, losses)
    verdict = "promoted" if outcome.promoted else "rejected"
    line = f"round {round.round.round}: {verdict} ({outcome.reason})"
    get_run_logger().info(line)
    print(line, file=sys.stderr)
    return outcome


@task(name="stop-if-idle", task_run_name="stop-if-idle", cache_policy=NO_CACHE)
def stop_if_idle(plan: EvolvePlan) -> None:
    """Stop the run if the last rounds gained nothing."""
    reason = reason_to_stop(plan)
    if reason and not plan.run.is_finished(plan.storage):
        plan.run.stop(plan.storage, reason)
        print(f"{plan.run.name}: stopped: {reason}", file=sys.stderr)


def loss_of(step: ScoringStep) -> float:
    """Return the mean nll over the response tokens of a scored corpus, in nats."""
    return held_out_loss(_shards(step)).total.mean


def _shards(step: ScoringStep) -> Iterator[tuple[Shard, Float32s]]:
    corpus, scores = step.corpus.required_commit(), step.artifact.required_commit()
    for number, receipt in enumerate(scores.receipts):
        shard = read_shard(step.corpus, corpus, number)
        table = step.artifact.read_table(receipt, "shards", columns=["sample_id", "nll"])
        yield shard, score_column(table, "nll", shard)
