"""Whether the attention that is worked out here is the one that a layer's output was made by.

Shapes: as in `heads`; V = samples with a token in a column.
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from tokensieve.forward import Batch
from tokensieve.scoring.heads import Call, Heads, Rounding, as_it_is

_NUM_QUERIES = 4


@dataclass(frozen=True)
class Difference:
    """How far a layer's output is from ours, both as shares of its size."""

    share: float
    """0 if no query that was looked at has a finite output."""
    by_rounding: float
    """How far apart ours are with logits and attention in float32 and in the output's precision."""


def difference(call: Call, batch: Batch, first: int) -> Difference:
    """Return how the layer's output differs from ours.

    Looked at for four queries of every sample, evenly spread over the columns from `first` on, as
    far as their output is finite. In bfloat16 some kernels keep logits and attention in float32,
    and eager code rounds every result on the way: the nearer of both counts.
    """
    dtype = call.output_BLHE.dtype

    def rounded(tensor: Tensor) -> Tensor:
        return tensor.to(dtype).float()

    seen = replace(  # autocast rounds what a kernel is given
        call,
        query_BHLD=call.query_BHLD.to(dtype),
        key_BGLD=call.key_BGLD.to(dtype),
        value_BGLE=call.value_BGLE.to(dtype),
    )
    exact, theirs = _outputs(seen, batch, first, as_it_is)
    eager, _ = _outputs(seen, batch, first, rounded)
    size = theirs.norm()
    if not size:
        return Difference(0.0, 0.0)
    nearer = min((exact - theirs).norm(), (eager - theirs).norm())
    return Difference(float(nearer / size), float((exact - eager).norm() / size))


def _outputs(call: Call, batch: Batch, first: int, rounded: Rounding) -> tuple[Tensor, Tensor]:
    """Return our outputs and the layer's, one number after another."""
    heads = Heads(call, batch, rounded)
    ours, theirs = [], []
    for column in torch.linspace(first, heads.width - 1, _NUM_QUERIES).int().unique().tolist():
        has_V = (heads.start_B <= column) & (column < heads.end_B)
        has_V &= call.output_BLHE[:, column].isfinite().all(dim=(1, 2))
        ours.append(_output(heads, call, column, rounded)[has_V].flatten())
        theirs.append(call.output_BLHE[has_V, column].float().flatten())
    return torch.cat(ours), torch.cat(theirs)


def _output(heads: Heads, call: Call, column: int, rounded: Rounding) -> Tensor:
    """Return output_BHE of the queries in a column."""
    exp_BH1K, total_BH11 = heads.block(column, column + 1)
    value_BGKE = call.value_BGLE[:, :, : column + 1].float()
    num_samples, num_groups, _, size = value_BGKE.shape
    attention_BH1K = rounded(exp_BH1K / total_BH11)
    grouped_BGRK = attention_BH1K.view(num_samples, num_groups, -1, column + 1)
    return (grouped_BGRK @ value_BGKE).view(num_samples, heads.num_heads, size)
