"""Plan a run before any of its work is done."""

import sys
from collections.abc import Iterable

from prefect import get_run_logger, task
from prefect.cache_policies import NO_CACHE

from ray_cluster.cluster import check_cluster, uses_gpu
from tokensieve.drops import note_looks
from tokensieve.planning import (
    CleanPlan,
    ComparePlan,
    CorpusStep,
    EvolvePlan,
    HardenPlan,
    HardenRound,
    RoundPlan,
    TrainPlan,
    VisitPlan,
    next_harden_round,
    next_round,
    plan_clean,
    plan_compare,
    plan_evolve,
    plan_harden,
    plan_train,
    plan_visit,
)
from tokensieve.settings import (
    CleanDropsSettings,
    CleanSettings,
    CompareSettings,
    EvolveSettings,
    TrainSettings,
)


@task(name="plan", task_run_name="plan", cache_policy=NO_CACHE)
def plan_run(settings: CleanSettings) -> CleanPlan:
    """Return what the run will do; wrong settings, inputs and models are refused here."""
    plan = plan_clean(settings, uses_gpu(settings.cluster))
    _declare(plan)
    _tell(plan, [plan.corpus])
    return plan


@task(name="plan", task_run_name="plan", cache_policy=NO_CACHE)
def plan_drop(settings: CleanDropsSettings, drop: str) -> VisitPlan:
    """Return what is done about a drop: whatever is new in it is cleaned."""
    plan = plan_visit(settings, drop, uses_gpu(settings.cluster))
    cleaning = plan.cleaning
    note_looks(plan.storage, {drop: plan.look("known" if cleaning is None else "begun")})
    if cleaning is not None:
        _declare(cleaning)
        _tell(cleaning, [cleaning.corpus])
        told = f"new files: {len(cleaning.inventory.files)} of {len(plan.files)}"
        print(f"{cleaning.run.name}: {told}", file=sys.stderr)
    return plan


@task(name="plan", task_run_name="plan", cache_policy=NO_CACHE)
def plan_training(settings: TrainSettings) -> TrainPlan:
    """Return what is trained on what."""
    plan = plan_train(settings, uses_gpu(settings.cluster))
    _declare(plan)
    _tell(plan, [])
    return plan


@task(name="plan", task_run_name="plan", cache_policy=NO_CACHE)
def plan_evolution(settings: EvolveSettings, base_columns: tuple[str, ...]) -> EvolvePlan:
    """Return what all rounds share."""
    plan = plan_evolve(settings, uses_gpu(settings.cluster), base_columns)
    _declare(plan)
    _tell(plan, plan.corpora.values())
    return plan


@task(name="plan", task_run_name="plan", cache_policy=NO_CACHE)
def plan_hardening(settings: EvolveSettings) -> HardenPlan:
    """Return what all rounds of a harmful model share."""
    plan = plan_harden(settings, uses_gpu(settings.cluster))
    _declare(plan)
    _tell(plan, plan.corpora.values())
    return plan


@task(name="plan", task_run_name="plan", cache_policy=NO_CACHE)
def plan_comparison(settings: CompareSettings) -> ComparePlan:
    """Return what all arms share."""
    plan = plan_compare(settings, uses_gpu(settings.cluster))
    _declare(plan)
    _tell(plan, plan.corpora.values())
    return plan


@task(name="plan-round", task_run_name="plan-round", cache_policy=NO_CACHE)
def plan_next_round(plan: EvolvePlan) -> RoundPlan | None:
    """Return the first unfinished round; None if there is no more to do."""
    round = next_round(plan)
    if round is not None:
        round.declare(plan.run)
        get_run_logger().info("round %d of %s", round.round.round, plan.run.name)
        if round.part is not None and round.part.artifact.plan["part"] == 0:
            _tell_left_out(plan)
    return round


@task(name="plan-round", task_run_name="plan-round", cache_policy=NO_CACHE)
def plan_next_hardening(plan: HardenPlan) -> HardenRound | None:
    """Return the first unfinished round; None if there is no more to do."""
    round = next_harden_round(plan)
    if round is not None:
        round.declare(plan.run)
        get_run_logger().info("round %d of %s", round.round.round, plan.run.name)
    return round


def _tell_left_out(plan: EvolvePlan) -> None:
    num_left = plan.num_left_out()
    if num_left:
        _warn(plan, f"the last {num_left} samples are in none of the {plan.num_parts} equal parts")


def _declare(plan: CleanPlan | TrainPlan | EvolvePlan | HardenPlan | ComparePlan) -> None:
    """Publish the plan, unless the cluster cannot do the run."""
    check_cluster(plan.settings.cluster, plan.storage, plan.settings.local_paths())
    plan.declare()


def _tell(
    plan: CleanPlan | TrainPlan | EvolvePlan | HardenPlan | ComparePlan,
    corpora: Iterable[CorpusStep],
) -> None:
    log = get_run_logger()
    for corpus in corpora:
        for warning in corpus.inventory.warnings:
            log.warning(warning)
    if isinstance(plan, CleanPlan | ComparePlan):
        for warning in plan.unused:
            _warn(plan, warning)
    log.info("run %s in %s", plan.run.name, plan.storage)


def _warn(plan: CleanPlan | EvolvePlan | ComparePlan, line: str) -> None:
    """Tell the log, and the person at the terminal, who does not see it."""
    get_run_logger().warning(line)
    print(f"{plan.run.name}: {line}", file=sys.stderr)
