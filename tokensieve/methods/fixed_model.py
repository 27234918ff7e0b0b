"""Fixed-model cleaning: the tokens of the whole dataset that the reference improved most."""

from tokensieve.methods.influence import INFLUENCE_COLUMNS, influence
from tokensieve.methods.method import Method

FIXED_MODEL = Method(
    name="fixed-model",
    source="Token Cleaning, Pang et al., ICML 2025, arXiv 2502.01968, fixed-model cleaning",
    summary="keeps the share of the dataset's tokens that the reference improved most",
    judge=influence,
    columns=INFLUENCE_COLUMNS,
    direction="high",
    default_scope="dataset",
)
