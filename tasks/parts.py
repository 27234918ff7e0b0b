"""Cut a round's part out of the corpus, and its share out of the base's scores."""

from prefect import task
from prefect.cache_policies import NO_CACHE

from tokensieve.artifact import Artifact, Commit
from tokensieve.parts import cut_part, slice_scores
from tokensieve.planning import EvolvePlan, RoundPlan, WarmupPlan


@task(name="cut-part", task_run_name="cut-part", cache_policy=NO_CACHE)
def cut_corpus(round: RoundPlan | WarmupPlan) -> None:
    """Make the part of the corpus that is worked on, if it is a part."""
    if round.part is not None:
        cut_part(round.part, _commit(round.part.corpus))


@task(name="slice-scores", task_run_name="slice-scores", cache_policy=NO_CACHE)
def slice_base_scores(plan: EvolvePlan, round: RoundPlan) -> None:
    """Make the part's share of the base's scores, if the round works on a part."""
    if round.part is not None and round.base_scores is not None:
        commit = _commit(round.part.corpus)
        slice_scores(round.base_scores, plan.base.artifact, round.part, commit)


def _commit(corpus: Artifact) -> Commit:
    commit = corpus.committed()
    assert commit is not None, "the flow makes the corpus first"
    return commit
