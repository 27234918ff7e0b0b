"""Scores of a shard under one model: what it says of every response token.

Everything is indexed at the token itself: nll_T[t] is the cost of token t given the tokens before
it in its sample, computed from the row of token t - 1. One forward pass per model and batch gives
every column that is asked for.

columns        which columns there are
batches        which samples are read together
shard          the passes of a shard and what comes of them
distribution   columns of the next token's distribution, from the logits
attention      columns of one layer's attention, beside the pass
checks         models that do not fit the samples, or give no numbers
"""

from tokensieve.scoring.batches import device_batch_tokens, plan_batches
from tokensieve.scoring.checks import check_finite, check_fits
from tokensieve.scoring.columns import ATTENTION_COLUMNS, COLUMNS, DISTRIBUTION_COLUMNS
from tokensieve.scoring.shard import ShardScoring, score_shard

__all__ = [
    "ATTENTION_COLUMNS",
    "COLUMNS",
    "DISTRIBUTION_COLUMNS",
    "ShardScoring",
    "check_finite",
    "check_fits",
    "device_batch_tokens",
    "plan_batches",
    "score_shard",
]
