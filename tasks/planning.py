"""Plan a run before any of its work is done."""

from prefect import get_run_logger, task
from prefect.cache_policies import NO_CACHE

from ray_cluster.cluster import uses_gpu
from tokensieve.planning import CleanPlan, plan_clean
from tokensieve.settings import CleanSettings


@task(name="plan", task_run_name="plan", cache_policy=NO_CACHE)
def plan_run(settings: CleanSettings) -> CleanPlan:
    """Return what the run will do; wrong settings, inputs and models are refused here."""
    plan = plan_clean(settings, uses_gpu(settings.cluster))
    plan.declare()
    log = get_run_logger()
    for warning in plan.inventory.warnings:
        log.warning(warning)
    log.info("run %s in %s", plan.run.name, plan.storage.root)
    return plan
