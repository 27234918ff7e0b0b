"""Rounds in which the harmful model learns from what it finds: TOSS-Pro.

    harmful files --> harmful data --> train --> harmful model --> scores --+
                           ^                                                +--> selection --> index
    files --> corpus ------|---------> reference scores --------------------+
                           |                                                |
                           +------ samples of the most harmful tokens <-----+

Each round is one turn of this picture; round 0 only trains, and the last one only scores and
selects. All state is in the artifacts: run it again after any crash.
"""

from prefect import flow

from flows.evidence import collect_evidence
from tasks.corpus import check_held_out, make_corpus
from tasks.evolution import Evolution, summarise_hardening
from tasks.planning import plan_hardening, plan_next_hardening
from tasks.record import begin_attempt, record_round
from tasks.retraining import grow_harmful, review_retraining
from tasks.run_report import leave_report
from tasks.scoring import score_corpus
from tasks.selection import select_tokens
from tasks.summary import summarise_round
from tasks.training import train_model
from tokensieve.planning import HardenPlan, HardenRound, Retraining, harmful_held_out_steps
from tokensieve.settings import EvolveSettings


@flow(name="harden", flow_run_name="harden-{settings.selection.method}")
def harden(settings: EvolveSettings) -> Evolution:
    """Do every unfinished round; return what all of them found, and where the dataset lies."""
    plan = _prepared(settings)
    while (round := plan_next_hardening(plan)) is not None:
        do_harden_round(plan, round)
    return summarise_hardening(plan)


@flow(name="harden-round", flow_run_name="harden-round-{settings.selection.method}")
def harden_round(settings: EvolveSettings) -> Evolution:
    """Do the next unfinished round, if there is one. This is what a schedule calls."""
    plan = _prepared(settings)
    round = plan_next_hardening(plan)
    if round is not None:
        do_harden_round(plan, round)
    return summarise_hardening(plan)


def do_harden_round(plan: HardenPlan, round: HardenRound) -> None:
    """Score, select, and train the harmful model on what was found, too."""
    collect_evidence(round.evidence)
    select_tokens(round.selection)
    if round.retraining is not None:
        retrain(round.retraining)
    held_out = harmful_held_out_steps(plan, round)
    for step in held_out:
        score_corpus(step)
    outcome = review_retraining(round, held_out)
    record_round(plan.storage, plan.run, round.round, outcome)
    leave_report(plan.storage, plan.run, round.round)
    summarise_round(plan.storage, plan.run, round.round)


def retrain(retraining: Retraining) -> None:
    """Train the base on all harmful data that there is now."""
    grow_harmful(retraining)
    select_tokens(retraining.selection)
    train_model(retraining.training)


def _prepared(settings: EvolveSettings) -> HardenPlan:
    """Return the plan, with its corpora made."""
    plan = plan_hardening(settings)
    begin_attempt(plan.storage, plan.run)
    for corpus in plan.corpora.values():
        make_corpus(corpus)
    check_held_out(plan.kept_apart)
    return plan
