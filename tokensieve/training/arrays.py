"""Arrays over the tokens of many samples: they grow in their place, and samples are taken out.

Shapes: N = samples, T = all their tokens one after another.
"""

from typing import Any

import numpy as np

from tokensieve.corpus import Int64s


def append(array: Any, added: Any) -> None:
    """Make the array longer in its place: the system moves its pages, and nothing is copied."""
    length = len(array)
    array.resize(length + len(added), refcheck=False)
    array[length:] = added


def offsets_of(lengths_N: Int64s) -> Int64s:
    """Return offsets_N1 of samples of these lengths."""
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths_N)])


def tokens_of(offsets_N1: Int64s, samples: Int64s) -> Int64s:
    """Return where in T the tokens of some samples lie, one sample after another."""
    starts, ends = offsets_N1[samples].tolist(), offsets_N1[samples + 1].tolist()
    return np.concatenate([np.arange(*span) for span in zip(starts, ends, strict=True)])
