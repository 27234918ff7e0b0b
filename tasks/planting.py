"""Copy samples of a corpus, and plant noise into the copy."""

from prefect import get_run_logger, task
from prefect.cache_policies import NO_CACHE

from tokensieve.artifact import Commit
from tokensieve.planning import PlantStep
from tokensieve.sieve.copies import plant_artifact
from tokensieve.timings import timed


@task(name="plant-noise", task_run_name="plant-noise", cache_policy=NO_CACHE)
def plant_corpus(step: PlantStep) -> Commit:
    """Return the commit of a copy of some samples, with noise at known places."""
    planted = step.artifact
    planted.declare()
    commit = planted.committed()
    if commit is None:
        with timed(planted):
            commit = plant_artifact(planted, step.corpus)
    noise = commit.totals["noise_tokens"], commit.totals["response_tokens"]
    get_run_logger().info("planted noise into %d of %d response tokens of a copy", *noise)
    return commit
