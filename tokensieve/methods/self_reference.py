"""Rho-1's self-reference: what one model alone says of tokens, which needs no curated data.

The paper ranks in the batch. The model does not change, so here the ranking is over the dataset.
Its best combination, both at 70%, is what `combine` does by default.
"""

from tokensieve.corpus import Float64s
from tokensieve.methods.method import Evidence, Method

_SOURCE = "Rho-1, Lin et al., NeurIPS 2024, arXiv 2404.07965, self-reference by "


def reference_loss(evidence: Evidence) -> Float64s:
    """Return the reference's nll of each token, in nats: low where it was to be expected."""
    return evidence.column("reference", "nll")


def reference_entropy(evidence: Evidence) -> Float64s:
    """Return the entropy of the reference's prediction of each token, in nats: low where sure."""
    return evidence.column("reference", "entropy")


REFERENCE_LOSS = Method(
    name="reference-loss",
    source=_SOURCE + "loss",
    summary="keeps the share of the dataset's tokens that the reference expects most",
    judge=reference_loss,
    columns={"reference": ("nll",)},
    direction="low",
    default_scope="dataset",
    default_keep=0.7,
)

REFERENCE_ENTROPY = Method(
    name="reference-entropy",
    source=_SOURCE + "entropy",
    summary="keeps the share of the dataset's tokens at which the reference is surest",
    judge=reference_entropy,
    columns={"reference": ("entropy",)},
    direction="low",
    default_scope="dataset",
    default_keep=0.7,
)
