"""Turn the input files into a corpus of tokenised, masked samples."""

from prefect import get_run_logger, task
from prefect.cache_policies import NO_CACHE

from ray_cluster.cluster import connect
from ray_cluster.ingest_worker import IngestJob, IngestWorker
from tasks.progress import step_progress
from tokensieve.artifact import Commit, Receipt, summed
from tokensieve.ingest.quarantine import check_quarantine
from tokensieve.ingest.shard import find_duplicates
from tokensieve.planning import CleanPlan

INLINE_BYTES = 32 * 2**20
"""Below this, starting workers takes longer than the work."""


@task(name="make-corpus", cache_policy=NO_CACHE)
def make_corpus(plan: CleanPlan) -> Commit:
    """Return the corpus's commit: every row became a sample, was quarantined or was skipped.

    Raises QuarantineError if more rows are bad than the settings allow; finished shards are kept.
    """
    corpus, settings = plan.corpus, plan.settings
    commit = corpus.committed()
    if commit is not None:
        get_run_logger().info("corpus %s: done before", corpus.id)
        return commit
    _make_shards(plan)
    receipts = [corpus.required_receipt(shard) for shard in range(corpus.num_shards)]
    counts = summed(receipt.counts for receipt in receipts)
    rejected = (corpus.read_table(receipt, "rejected") for receipt in receipts)
    check_quarantine(counts, rejected, settings.corpus.max_quarantine)
    return corpus.commit({"duplicates": find_duplicates(corpus, receipts, plan.inventory)})


def _make_shards(plan: CleanPlan) -> None:
    """Make the shards that are not there yet: here if they are few, else on the cluster."""
    corpus, inventory = plan.corpus, plan.inventory
    pending = sorted(set(range(corpus.num_shards)) - corpus.done_shards())
    jobs = [
        IngestJob(plan.storage, corpus.id, inventory.files, inventory.shards[shard], shard)
        for shard in pending
    ]
    if not jobs:
        return
    num_bytes = sum(file.num_bytes for file in inventory.files)
    arguments = (plan.settings.base, plan.settings.corpus)
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
            pool = connect(plan.settings.cluster).cpu_pool(IngestWorker, *arguments)
            pool.run(jobs, count)
            pool.close()
