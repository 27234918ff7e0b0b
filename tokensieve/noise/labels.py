"""From planted characters to noisy tokens."""

from collections.abc import Mapping, Sequence

import numpy as np

from tokensieve.chat import Encoder
from tokensieve.corpus import Int8s, Int64s
from tokensieve.ingest.records import to_record
from tokensieve.noise.corpus import Record
from tokensieve.noise.planting import KINDS, Planted

TokenSpans = tuple[Int64s, Int64s, Int64s]
"""message_T, start_T, end_T: each token's characters in its message, as `Encoder.token_spans`."""


def corpus_labels(
    records: Sequence[Record], planted: Mapping[str, Planted], encoder: Encoder
) -> Int8s:
    """Return label_T over the tokens of all noisy records, one after another."""
    labels = [
        noise_labels(planted.get(record["id"]), encoder.token_spans(to_record(record)))
        for record in records
    ]
    return np.concatenate(labels)


def noise_labels(planted: Planted | None, spans: TokenSpans) -> Int8s:
    """Return label_T of one sample: 0 for a clean token, else 1 + the place of its kind in KINDS.

    A token is noise if one of its characters is. Tokens of the template, such as the end of a turn,
    are clean.
    """
    message_T, start_T, end_T = spans
    label_T = np.zeros(len(message_T), dtype=np.int8)
    for message, noise in planted.spans.items() if planted else ():
        for span in noise:
            touched_T = (message_T == message) & (start_T < span.end) & (end_T > span.start)
            label_T[touched_T] = 1 + KINDS.index(span.kind)
    return label_T
