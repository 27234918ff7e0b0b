"""Does cleaning help on this data? Arms that are trained and evaluated alike.

    files --> corpus --+-- warm-up --> scores --> selections --> train --+
                       |                                                 +--> evaluate --> table
                       +-- self-evolving, once for each seed ------------+       |
    held-out files --------------------------------------------------------------+

Scores, models and evaluations are artifacts: another arm or seed does nothing again.
"""

from prefect import flow

from flows.evidence import collect_evidence
from flows.evolve import evolve
from tasks.comparison import (
    Comparison,
    plan_arm_evaluations,
    record_arms,
    summarise_comparison,
)
from tasks.corpus import check_held_out, make_corpus
from tasks.evaluation import evaluate_models
from tasks.parts import cut_corpus
from tasks.planning import plan_comparison
from tasks.record import begin_attempt
from tasks.scoring import score_corpus
from tasks.selection import select_tokens
from tasks.training import train_model, train_models
from tokensieve.planning import (
    SELF_EVOLVING,
    WarmupPlan,
    base_on_holdout,
    evolve_settings,
    plan_arm_evidence,
    plan_arms,
    plan_warmup,
)
from tokensieve.settings import CompareSettings


@flow(name="compare", flow_run_name="compare")
def compare(settings: CompareSettings) -> Comparison:
    """Return what each arm is worth beside random and full, and what it costs."""
    plan = plan_comparison(settings)
    begin_attempt(plan.storage, plan.run)
    for corpus in plan.corpora.values():
        make_corpus(corpus)
    check_held_out(plan.corpora)
    warmup = plan_warmup(plan)
    if warmup is not None:
        make_reference(warmup)
    evidence = plan_arm_evidence(plan, warmup)
    collect_evidence(evidence)
    score_corpus(base_on_holdout(plan))
    arms = plan_arms(plan, evidence)
    for arm in arms:
        select_tokens(arm.selection)
    train_models([arm.training for arm in arms])
    seeds = settings.seeds if SELF_EVOLVING in settings.arms else ()
    evolutions = {seed: evolve(evolve_settings(plan, seed), plan.base.columns) for seed in seeds}
    evaluated = plan_arm_evaluations(plan, warmup, arms, evolutions)
    for each in evaluated:
        score_corpus(each.loss)
    evaluate_models([each.answers for each in evaluated if each.answers])
    record_arms(plan, evaluated)
    return summarise_comparison(plan, base_on_holdout(plan))


def make_reference(warmup: WarmupPlan) -> None:
    """Train the base on all tokens of the warm-up."""
    cut_corpus(warmup)
    select_tokens(warmup.selection)
    train_model(warmup.training)
