"""RHO in the form used for fine-tuning: fixed-model's number, ranked within each sample.

Rho-1 itself compares the model in training with the reference, within a batch, at every step. For
fine-tuning data the base stands for the model in training, and the sample for the batch.
"""

from tokensieve.methods.influence import INFLUENCE_COLUMNS, influence
from tokensieve.methods.method import Method

RHO = Method(
    name="rho",
    source="Rho-1, Lin et al., NeurIPS 2024, arXiv 2404.07965, excess loss; SFT form of 2502.01968",
    summary="keeps the share of each sample's tokens that the reference improved most",
    judge=influence,
    columns=INFLUENCE_COLUMNS,
    direction="high",
    default_scope="sample",
)
