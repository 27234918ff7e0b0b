"""Records as the samples a model sees, all in one shard."""

from collections.abc import Sequence

import numpy as np

from tokensieve.chat import Encoded, Encoder
from tokensieve.corpus import Shard
from tokensieve.ingest.records import to_record
from tokensieve.noise.corpus import Record


def encode_records(records: Sequence[Record], encoder: Encoder) -> Shard:
    """Return the records, all of which must encode, as one shard."""
    encoded = encoder.encode([to_record(record) for record in records])
    samples = [sample for sample in encoded if isinstance(sample, Encoded)]
    assert len(samples) == len(records), "a record cannot be encoded"
    return Shard(
        sample_ids=[record["id"] for record in records],
        sources=[record.get("source", "") for record in records],
        offsets_N1=np.cumsum([0, *(len(sample.input_ids_T) for sample in samples)]),
        input_ids_T=np.concatenate([sample.input_ids_T for sample in samples]),
        response_T=np.concatenate([sample.response_T for sample in samples]),
        turn_T=np.concatenate([sample.turn_T for sample in samples]),
    )
