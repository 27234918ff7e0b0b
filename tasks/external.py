"""Take numbers that were made elsewhere as scores of a corpus."""

import sys
from collections.abc import Mapping

from prefect import get_run_logger, task
from prefect.cache_policies import NO_CACHE

from tokensieve.artifact import Commit, summed
from tokensieve.corpus import read_shard, scores_table
from tokensieve.errors import InputError
from tokensieve.external import external_column, num_unknown_samples, read_external
from tokensieve.ingest.opening import Place
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
    if commit is None:
        with timed(scores):
            commit = _taken(step)
    else:
        log.info("scores %s of the file: taken before", scores.id)
    _tell(step.file, commit)
    return commit


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
    return scores.commit({"column": external.column, "unknown_samples": unknown})


def _tell(file: Place, scores: Commit) -> None:
    """Say in the terminal and in the log what the file does not cover, without sample text."""
    for line in coverage_lines(scores.totals, scores.notes["unknown_samples"]):
        get_run_logger().warning("%s: %s", file, line)
        print(f"{file}: {line}", file=sys.stderr)


def coverage_lines(totals: Mapping[str, int], num_unknown: int) -> list[str]:
    """Return a line for each way in which the file and the corpus do not cover each other; none if
    they do. `totals`: of the commit of the scores; `num_unknown`: samples of the file alone.
    """
    lines = []
    if missing := totals["missing_samples"]:
        lines.append(
            f"{missing:,} of {missing + totals['known_samples']:,} samples of the corpus are not "
            "in it: no token of them is a candidate, and they are not trained on"
        )
    if num_unknown:
        lines.append(f"{num_unknown:,} of its samples are not in the corpus")
    return lines
