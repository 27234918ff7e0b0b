"""Which samples of a shard are read together."""

import numpy as np

from tokensieve.corpus import Int64s

_CPU_BATCH_TOKENS = 1024  # activations of more leave the cache, and are not faster


def device_batch_tokens(batch_tokens: int, on_gpu: bool) -> int:
    """Return how many tokens a batch really has room for on the device."""
    return batch_tokens if on_gpu else min(batch_tokens, _CPU_BATCH_TOKENS)


def plan_batches(lengths_N: Int64s, batch_tokens: int) -> list[Int64s]:
    """Return the sample numbers of each batch: a function of the arguments and nothing else.

    Longest first, ties in order; a batch times its longest sample is at most `batch_tokens`,
    padding included. A longer sample is a batch of its own; one of length 0 is in no batch.
    """
    order_N = np.argsort(-lengths_N, kind="stable")
    order_N = order_N[: np.count_nonzero(lengths_N)]
    batches = []
    while len(order_N):
        num_rows = max(1, batch_tokens // int(lengths_N[order_N[0]]))
        batches.append(order_N[:num_rows])
        order_N = order_N[num_rows:]
    return batches
