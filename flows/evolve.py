"""Self-evolving cleaning: let the reference learn from what it selects, round after round.

    files --> corpus --> base scores --------------+
                                                   +--> selection --> train --> gate --> next
    last reference --> scores of the round's part -+                             |     reference
                                                                                 +--> index

Each round is one turn of this picture; round 0 has no reference yet, and trains on every token. All
state is in the artifacts: run it again after any crash.
"""

from prefect import flow

from flows.evidence import collect_evidence
from tasks.corpus import check_held_out, make_corpus
from tasks.evolution import Evolution, summarise_evolution
from tasks.gate import judge_reference, stop_if_idle
from tasks.parts import cut_corpus, slice_base_scores
from tasks.planning import plan_evolution, plan_next_round
from tasks.record import begin_attempt, record_round
from tasks.run_report import leave_report
from tasks.scoring import score_corpus
from tasks.selection import select_tokens
from tasks.summary import summarise_round
from tasks.training import train_model
from tokensieve.planning import EvolvePlan, RoundPlan, held_out_steps
from tokensieve.settings import EvolveSettings


@flow(name="evolve", flow_run_name="evolve-{settings.selection.method}")
def evolve(settings: EvolveSettings, base_columns: tuple[str, ...] = ()) -> Evolution:
    """Do every unfinished round; return what all of them found, and where the last model lies.

    `base_columns`: what others need of the base beside the method, so that one pass serves all.
    """
    plan = _prepared(settings, base_columns)
    while (round := plan_next_round(plan)) is not None:
        do_round(plan, round)
    return summarise_evolution(plan)


@flow(name="evolve-round", flow_run_name="evolve-round-{settings.selection.method}")
def evolve_round(settings: EvolveSettings) -> Evolution:
    """Do the next unfinished round, if there is one. This is what a schedule calls."""
    plan = _prepared(settings)
    round = plan_next_round(plan)
    if round is not None:
        do_round(plan, round)
    return summarise_evolution(plan)


def do_round(plan: EvolvePlan, round: RoundPlan) -> None:
    """Score, select, train, and promote the new reference if it holds its ground."""
    cut_corpus(round)
    if round.base_scores is not None:
        score_corpus(plan.base)
        slice_base_scores(plan, round)
    collect_evidence(round.evidence)
    select_tokens(round.selection)
    train_model(round.training)
    held_out = held_out_steps(plan, round)
    for step in held_out:
        score_corpus(step)
    outcome = judge_reference(plan, round, held_out)
    record_round(plan.storage, plan.run, round.round, outcome)
    leave_report(plan.storage, plan.run, round.round)
    summarise_round(plan.storage, plan.run, round.round)
    stop_if_idle(plan)


def _prepared(settings: EvolveSettings, base_columns: tuple[str, ...] = ()) -> EvolvePlan:
    """Return the plan, with its corpora made and the end of its last round done."""
    plan = plan_evolution(settings, base_columns)
    begin_attempt(plan.storage, plan.run)
    for corpus in plan.corpora.values():
        make_corpus(corpus)
    check_held_out(plan.corpora)
    stop_if_idle(plan)  # a crash may have come before it
    return plan
