"""The attention of one layer's heads, some queries at a time, from its queries and keys.

Shapes: B, L as in `forward`; H = heads, G = heads of the keys (H is a multiple), D = their size,
E = size of a value, Q = queries at a time, K = keys up to the last of them.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from tokensieve.forward import Batch

_BLOCK_BYTES = {"cpu": 2 << 20, "cuda": 256 << 20}  # float32 attention worked on at once
_NEVER = -torch.inf
_LOWEST = torch.finfo(torch.float32).min
Rounding = Callable[[Tensor], Tensor]


def as_it_is(tensor: Tensor) -> Tensor:
    """Return the tensor itself."""
    return tensor


@dataclass(frozen=True)
class Call:
    """What a model called its attention function with, and what it got."""

    layer: int | None
    """Counted from 0, if the model says so."""
    query_BHLD: Tensor
    key_BGLD: Tensor
    value_BGLE: Tensor
    mask: Any
    """The model's own, if it has one: its windows and chunks are in it."""
    options: dict[str, Any]
    """Its scaling, soft cap, window and sinks, under the names that transformers gives them."""
    output_BLHE: Tensor


class Heads:
    """The heads of a layer over one batch, in float32.

    The causal mask is our own: a model is told nothing of padding on the right, and a batch without
    padding often has no mask at all.
    """

    def __init__(self, call: Call, batch: Batch, rounded: Rounding = as_it_is) -> None:
        """Take what the layer was called with; `rounded`: what is done to every result on the way
        to the attention.
        """
        self._call = call
        self._rounded = rounded
        self._query_BHLD, self._key_BGLD = call.query_BHLD.float(), call.key_BGLD.float()
        device = call.query_BHLD.device
        self.start_B, self.end_B = (
            torch.from_numpy(each).to(device) for each in (batch.starts_B, batch.ends_B)
        )
        """The columns in which each sample begins, and after which it ends."""
        num_samples, self.num_heads, self.width, size = call.query_BHLD.shape
        self._scaling = call.options.get("scaling") or size**-0.5
        row_bytes = 4 * num_samples * self.num_heads * self.width
        self.num_queries = max(1, _BLOCK_BYTES[device.type] // row_bytes)
        """How many queries of each sample to take at once, at least one."""

    def block(self, first: int, last: int) -> tuple[Tensor, Tensor]:
        """Return exp_BHQK and total_BHQ1 of the queries in the columns from `first` to `last`.

        Their quotient is the attention, softmax relative to each row's largest logit. exp is 0
        where a query may not look, and everywhere for one that is no token.
        """
        logits_BHQK = self._logits(first, last)
        top_BHQ1 = logits_BHQK.amax(dim=-1, keepdim=True).clamp(min=_LOWEST)
        sink = self._call.options.get("s_aux")
        if sink is not None:
            sink = sink.float().view(1, -1, 1, 1)
            top_BHQ1 = top_BHQ1.maximum(sink)
            logits_BHQK = self._rounded(logits_BHQK.sub_(top_BHQ1))
            sink, top_BHQ1 = self._rounded(sink - top_BHQ1), torch.zeros_like(top_BHQ1)
        exp_BHQK = logits_BHQK.sub_(top_BHQ1).exp_()
        total_BHQ1 = exp_BHQK.sum(dim=-1, keepdim=True)
        if sink is not None:
            total_BHQ1 += sink.exp()
        return exp_BHQK, total_BHQ1.masked_fill(total_BHQ1 == 0, 1)

    def _logits(self, first: int, last: int) -> Tensor:
        """Return logits_BHQK, minus infinity where a query may not look."""
        query_BHQD, key_BGKD = self._query_BHLD[:, :, first:last], self._key_BGLD[:, :, :last]
        num_samples, num_groups, _, size = key_BGKD.shape
        grouped_BGRD = query_BHQD.reshape(num_samples, num_groups, -1, size)
        logits = self._rounded(grouped_BGRD @ key_BGKD.transpose(2, 3)).mul_(self._scaling)
        logits_BHQK = self._rounded(logits).view(num_samples, self.num_heads, last - first, last)
        softcap = self._call.options.get("softcap")
        if softcap is not None:
            capped = self._rounded(self._rounded(logits_BHQK.div_(softcap)).tanh_())
            logits_BHQK = self._rounded(capped.mul_(softcap))
        mask = self._call.mask
        if isinstance(mask, Tensor) and mask.ndim == 4:
            rows = mask[:, :, first:last, :last]
            added = rows if rows.is_floating_point() else (~rows).float() * _LOWEST
            logits_BHQK.add_(added)
        return logits_BHQK.masked_fill_(self._forbidden(first, last), _NEVER)

    def _forbidden(self, first: int, last: int) -> Tensor:
        """Return forbidden_B1QK: the key comes later, or query or key is no token of the sample."""
        column_K = torch.arange(last, device=self.start_B.device)
        query_Q1 = column_K[first:, None]
        start_B11, end_B11 = self.start_B[:, None, None], self.end_B[:, None, None]
        forbidden_BQK = (column_K > query_Q1) | (column_K < start_B11) | (query_Q1 >= end_B11)
        window = self._call.options.get("sliding_window")
        if window is not None:
            forbidden_BQK |= column_K <= query_Q1 - window
        return forbidden_BQK[:, None]
