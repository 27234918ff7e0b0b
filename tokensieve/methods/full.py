"""No cleaning: every token that a model can be trained on."""

import numpy as np

from tokensieve.corpus import Float64s
from tokensieve.methods.method import Evidence, Method


def one(evidence: Evidence) -> Float64s:
    """Return 1 for each token."""
    return np.ones(len(evidence.shard.input_ids_T))


FULL = Method(
    name="full",
    source="ordinary supervised fine-tuning",
    summary="keeps every token, whatever share is asked for: what cleaning starts from",
    judge=one,
    columns={},
    direction="test",
    default_scope="dataset",
)
