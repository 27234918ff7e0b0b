"""Say what the rounds of an evolving reference found, in the terminal and in the Prefect UI."""

from dataclasses import dataclass

from prefect import task
from prefect.cache_policies import NO_CACHE

from tokensieve.planning import EvolvePlan, current_reference


@dataclass(frozen=True)
class Evolution:
    """What all finished rounds found, and where the last reference lies."""

    run: str
    history: str
    """A table of the rounds."""
    places: dict[str, str]
    """Where the reference, the datasets and the picture of the rounds lie."""

    def __str__(self) -> str:
        """Return the summary for the terminal."""
        places = [f"  {name:<11}{place}" for name, place in self.places.items()]
        return "\n".join([self.history, "", *places])


@task(name="summarise-evolution", task_run_name="summarise-evolution", cache_policy=NO_CACHE)
def summarise_evolution(plan: EvolvePlan) -> Evolution:
    """Return what all finished rounds found, and show it in the Prefect UI."""
    finished = plan.run.finished_rounds(plan.storage)
    reference = current_reference(plan, finished)
    return Evolution(plan.run.name, "", {"reference": reference.path})
