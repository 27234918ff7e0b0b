"""Turn the input files into a corpus of tokenised, masked samples."""

import sys
from collections.abc import Iterable, Iterator, Mapping

import pyarrow as pa
from prefect import get_run_logger, task
from prefect.cache_policies import NO_CACHE

from ray_cluster.cluster import connect
from ray_cluster.ingest_worker import IngestJob, IngestWorker
from tasks.progress import step_progress
from tokensieve.artifact import Artifact, Commit, Receipt, summed
from tokensieve.errors import InputError
from tokensieve.ingest.duplicates import CONTENT, find_duplicates, find_seen, num_shared
from tokensieve.ingest.quarantine import check_quarantine, quarantine_lines
from tokensieve.planning import CorpusStep
from tokensieve.timings import timed

INLINE_BYTES = 32 * 2**20
"""Below this, starting workers takes longer than the work."""


@task(name="make-corpus", task_run_name="make-corpus", cache_policy=NO_CACHE)
def make_corpus(step: CorpusStep) -> Commit:
    """Return the corpus's commit: every row became a sample, was quarantined or was skipped.

    Raises QuarantineError if more rows are bad than the settings allow; finished shards are kept.
    """
    corpus, settings = step.artifact, step.settings
    commit = corpus.committed()
    if commit is not None:
        get_run_logger().info("corpus %s: done before", corpus.id)
        check_quarantine(commit.totals, settings.max_quarantine)
        return commit
    with timed(corpus):
        return _made(step)


def _made(step: CorpusStep) -> Commit:
    """Make the shards that are not there yet, look at what was counted, and commit."""
    corpus, settings = step.artifact, step.settings
    _make_shards(step)
    receipts = corpus.stated_receipts()  # commit() looks at every file
    _tell(quarantine_lines(corpus.read_table(receipt, "rejected") for receipt in receipts))
    counts = summed(receipt.counts for receipt in receipts)
    assert counts["rows"] == sum(step.inventory.num_rows), "a row of the inventory was lost"
    assert counts["blank"] == sum(step.inventory.num_blank), "a blank line was lost"
    check_quarantine(counts, settings.max_quarantine)
    rows = [*_rows(corpus)]
    duplicates = find_duplicates(rows, step.inventory.files)
    _tell(duplicates.warnings)
    if step.earlier:
        seen_before = (table for earlier in step.earlier for table in _rows(earlier, CONTENT))
        duplicates = duplicates.with_seen(rows, find_seen(rows, seen_before))
    get_run_logger().info("%d samples repeat an earlier one and are skipped", duplicates.num_rows)
    return corpus.commit(duplicates.notes)


@task(name="check-held-out", task_run_name="check-held-out", cache_policy=NO_CACHE)
def check_held_out(corpora: Mapping[str, CorpusStep]) -> None:
    """Raise InputError if a held-out sample is also among those that are trained on."""
    if "holdout" not in corpora:
        return
    held_out = [*_rows(corpora["holdout"].artifact, CONTENT)]
    for role in corpora.keys() - {"holdout"}:
        num_found = num_shared(held_out, _rows(corpora[role].artifact, CONTENT))
        if num_found:
            raise InputError(
                f"holdout: {num_found} of its samples are also in the files of the {role}, so the "
                "loss on them would be that of memory. Take them out of one of the two."
            )


def _rows(corpus: Artifact, columns: list[str] | None = None) -> Iterator[pa.Table]:
    receipts = corpus.stated_receipts()
    return (corpus.read_table(receipt, "rows", columns) for receipt in receipts)


def _tell(lines: Iterable[str]) -> None:
    """Show the lines in the terminal. They quote the input, so they stay out of Prefect's log."""
    for line in lines:
        print(line, file=sys.stderr)


def _make_shards(step: CorpusStep) -> None:
    """Make the shards that are not there yet: here if they are few, else on the cluster."""
    corpus, inventory = step.artifact, step.inventory
    pending = sorted(set(range(corpus.num_shards)) - corpus.done_shards())
    jobs = [
        IngestJob(corpus.storage, corpus.id, inventory.shards[shard], shard) for shard in pending
    ]
    if not jobs:
        return
    num_bytes = sum(file.num_bytes for file in inventory.files)
    max_length = corpus.plan["max_length"]
    arguments = (inventory.files, step.base, step.settings.template, max_length)
    done_before = corpus.num_shards - len(jobs)
    with step_progress("make corpus", corpus.num_shards, done_before, "shards") as bar:
        done: list[Receipt] = []

        def count(receipt: Receipt) -> None:
            done.append(receipt)
            bar.advance_to(len(done))

        if num_bytes < INLINE_BYTES:
            worker = IngestWorker(*arguments)
            for job in jobs:
                count(worker.run(job))
        else:
            with connect(step.cluster).cpu_pool(IngestWorker, *arguments) as pool:
                pool.run(jobs, count)
