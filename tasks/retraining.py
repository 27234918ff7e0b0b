"""Let the harmful data grow, and say what the harmful model has learned from."""

import sys
from collections.abc import Sequence

from prefect import get_run_logger, task
from prefect.cache_policies import NO_CACHE

from tasks.gate import loss_of
from tokensieve.growth import grow_corpus, picked_scores
from tokensieve.planning import HardenRound, Retraining, ScoringStep, harden_outcome
from tokensieve.runs import Outcome
from tokensieve.timings import timed


@task(name="grow-harmful", task_run_name="grow-harmful", cache_policy=NO_CACHE)
def grow_harmful(retraining: Retraining) -> None:
    """Make the corpus of a retraining, if it is more than the harmful data as given."""
    growth = retraining.growth
    if growth is not None and growth.artifact.committed() is None:
        with timed(growth.artifact):
            grow_corpus(growth)


@task(name="review-retraining", task_run_name="review-retraining", cache_policy=NO_CACHE)
def review_retraining(round: HardenRound, held_out: Sequence[ScoringStep]) -> Outcome | None:
    """Return what the round's harmful model was made of; None if it made none.

    `held_out`: the scored former and new model, or nothing.
    """
    if round.retraining is None:
        return None
    growth = round.retraining.growth
    added = picked_scores(growth.artifact) if growth is not None else None
    outcome = harden_outcome(added, [loss_of(step) for step in held_out])
    line = f"round {round.round.round}: {outcome.reason}"
    get_run_logger().info(line)
    print(line, file=sys.stderr)
    return outcome
