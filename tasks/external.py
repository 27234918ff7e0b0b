"""Take numbers that were made elsewhere as scores of a corpus."""

from prefect import get_run_logger, task
from prefect.cache_policies import NO_CACHE

from tokensieve.artifact import Commit, summed
from tokensieve.corpus import read_shard, scores_table
from tokensieve.errors import InputError
from tokensieve.external import external_column, num_unknown_samples, read_external
from tokensieve.planning import ExternalStep
from tokensieve.timings import timed


@task(name="take-scores", task_run_name="take-scores", cache_policy=NO_CACHE)
def take_scores(step: ExternalStep) -> Commit:
    """Return the commit of the scores, along the tokens of the corpus.

    Raises InputError if the file is not what was planned with, or not of this corpus.
    """
    scores, log = step.artifact, get_run_logger()
    scores.declare()
    commit = scores.committed()
    if commit is not None:
        log.info("scores %s of the file: taken before", scores.id)
        return commit
    with timed(scores):
        return _taken(step)


def _taken(step: ExternalStep) -> Commit:
    scores, corpus = step.artifact, step.corpus
    samples, external = corpus.required_commit(), read_external(step.file)
    if external.sha256 != scores.plan["file"]:
        raise InputError(
            f"{step.file}: changed since the run began. Run the same command again to take the "
            "new numbers."
        )
    for number in range(scores.num_shards):
        if scores.receipt(number) is None:
            shard = read_shard(corpus, samples, number)
            value_T, counts = external_column(external, shard)
            scores.publish(number, {"shards": scores_table(shard, {"value": value_T})}, counts)
    totals = summed(receipt.counts for receipt in scores.stated_receipts())
    unknown = num_unknown_samples(external, totals)  # refused each time: not committed before
    missing = totals["missing_samples"]
    if unknown or missing:
        get_run_logger().warning(
            "%s: %d samples of the corpus are not in it; %d of its own are not in the corpus",
            step.file,
            missing,
            unknown,
        )
    return scores.commit({"column": external.column})
