"""TOSS: drops the tokens that a model of harmful answers expects more than one of useful ones."""

from tokensieve.corpus import Float64s
from tokensieve.methods.influence import loss_difference
from tokensieve.methods.method import Evidence, Method


def harm(evidence: Evidence) -> Float64s:
    """Return reference nll - harmful nll of each token, in nats: high where it is unsafe.

    The reference is the paper's utility model.
    """
    return loss_difference(evidence, "reference", "harmful")


TOSS = Method(
    name="toss",
    source="TOSS, ICLR 2026, arXiv 2603.01185, global ranking",
    summary="drops the share of the dataset's tokens that the harmful model expects most beside "
    "the reference",
    judge=harm,
    columns={"reference": ("nll",), "harmful": ("nll",)},
    direction="low",
    default_scope="dataset",
    default_keep=0.9,
    rounding="ceil",  # so that int(n x dropped share) are dropped, as published
)
