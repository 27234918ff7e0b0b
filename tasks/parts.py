"""Cut a round's part out of the corpus, and its share out of the base's scores."""

from prefect import task
from prefect.cache_policies import NO_CACHE

from tokensieve.parts import cut_part, slice_scores
from tokensieve.planning import EvolvePlan, RoundPlan, WarmupPlan
from tokensieve.timings import timed


@task(name="cut-part", task_run_name="cut-part", cache_policy=NO_CACHE)
def cut_corpus(round: RoundPlan | WarmupPlan) -> None:
    """Make the part of the corpus that is worked on, if it is a part."""
    part = round.part
    if part is not None and part.artifact.committed() is None:
        with timed(part.artifact):
            cut_part(part, part.corpus.required_commit())


@task(name="slice-scores", task_run_name="slice-scores", cache_policy=NO_CACHE)
def slice_base_scores(plan: EvolvePlan, round: RoundPlan) -> None:
    """Make the part's share of the base's scores, if the round works on a part."""
    part, sliced = round.part, round.base_scores
    if part is not None and sliced is not None and sliced.committed() is None:
        with timed(sliced):
            slice_scores(sliced, plan.base.artifact, part, part.corpus.required_commit())
