"""Samples that the corpora of several visits hold: a training on all of them would meet them twice.

A visit passes over what usable visits hold, but not over what is held. So a drop that grew while it
was held has its first samples in two corpora, of which the later one may be used already.
"""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from tokensieve.artifact import Artifact, load_artifact
from tokensieve.drops.visits import Visit
from tokensieve.ingest.duplicates import num_shared
from tokensieve.storage import Storage


def num_held_too(storage: Storage, visit: Visit, other: Visit) -> int:
    """Return how many samples of a visit's corpus that of another visit holds too.

    Samples are the same if they say the same, whatever their ids. What has no corpus any more, or
    was passed over in the other's favour, counts for nothing.
    """
    if not all(storage.exists(f"corpora/{each.corpus}/COMMIT.json") for each in (visit, other)):
        return 0
    ours, theirs = (load_artifact(storage, "corpora", each.corpus) for each in (visit, other))
    if theirs.id in ours.plan.get("earlier", ()):
        return 0
    return num_shared([*_samples(ours)], _samples(theirs))


def _samples(corpus: Artifact) -> Iterator[pa.Table]:
    """Yield the rows of each shard that are samples, without those that are skipped."""
    skipped = corpus.required_commit().notes["duplicates"]
    for shard, receipt in enumerate(corpus.stated_receipts()):
        rows = corpus.read_table(receipt, "rows")
        is_sample = np.ones(len(rows), dtype=bool)
        is_sample[skipped.get(str(shard), [])] = False
        yield rows.filter(pa.array(is_sample))
