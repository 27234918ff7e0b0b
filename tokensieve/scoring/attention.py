"""Columns of the attention in one layer, worked out beside the forward pass.

A model of transformers looks its attention function up, and calls it with the queries and keys of a
layer as its norms and rotary embeddings have left them. While a batch is read, the lookup gives the
model's own function with a listener behind it: the pass is what it always is, kernel for kernel,
and the listener works out the columns of the one layer, some queries at a time. There is never an
array over heads and pairs of tokens.

Shapes: as in `heads`, and C = columns.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from tokensieve.corpus import Bools
from tokensieve.errors import InputError, SettingsError
from tokensieve.forward import Batch, NextTokens
from tokensieve.scoring.following import difference
from tokensieve.scoring.heads import Call, Heads

_TOLERANCE = 0.01
"""Share of the output's size, beyond what rounding explains. On a CPU at most 0.002 was seen, in
bfloat16, over seven families and both kernels."""


@dataclass(frozen=True)
class Passage:
    """What the attention of a batch is asked about."""

    batch: Batch
    conditioning_BL: Bools
    """True where the token belongs to no response."""
    first: int
    """The first column with a token to score."""


def resolved_layer(model: PreTrainedModel, layer: int) -> int:
    """Return the layer counted from 0, or raise SettingsError if the model has no such layer."""
    num_layers = int(model.config.get_text_config().num_hidden_layers)
    if not -num_layers <= layer < num_layers:
        raise SettingsError(
            f"scoring.attention_layer: is {layer}, but {model.name_or_path} has {num_layers} "
            f"layers. Give 0 to {num_layers - 1}, or -1 to -{num_layers} from the end."
        )
    return layer % num_layers


def read_with_attention(
    model: PreTrainedModel, layer: int, passage: Passage, columns: Sequence[str]
) -> tuple[NextTokens, Tensor]:
    """Return the body's answer to the batch, and the columns_CBL of the layer's attention, float32.

    They say nothing of tokens before `passage.first`. Raises InputError if the layer has no
    attention to listen to, or if it cannot be followed: what comes of it is not the layer's output.
    """
    listener = _Listener(model.name_or_path, layer, passage)
    with _overheard(listener.hear):
        answer = NextTokens(model, passage.batch)
    return answer, torch.stack([listener.columns()[column] for column in columns])


class _Listener:
    """Hears the attention of every layer, and keeps the columns of one."""

    def __init__(self, name: str, layer: int, passage: Passage) -> None:
        self._name = name
        self._layer = layer
        self._passage = passage
        self._heard: set[int] = set()
        self._columns: dict[str, Tensor] = {}

    def hear(self, call: Call) -> None:
        """Work out the columns if it is the layer's call. Autocast would do it in bfloat16."""
        if call.layer is not None:
            self._heard.add(call.layer)
        if call.layer != self._layer:
            return
        with torch.autocast(call.query_BHLD.device.type, enabled=False):
            self._check(call)
            self._columns = attention_columns(Heads(call, self._passage.batch), self._passage)

    def columns(self) -> dict[str, Tensor]:
        """Return columns over [B, L] by name, or raise InputError if the layer was not heard."""
        if not self._heard:
            raise InputError(
                f"{self._name}: its attention does not go through the functions of transformers, "
                "or not layer by layer. Choose a method without attention columns."
            )
        if self._layer not in self._heard:
            known = ", ".join(str(layer) for layer in sorted(self._heard))
            raise InputError(
                f"{self._name}: layer {self._layer} has no softmax attention; these have: {known}. "
                "Set scoring.attention_layer to one of them."
            )
        return self._columns

    def _check(self, call: Call) -> None:
        """Refuse a layer whose output is not made by the attention that is worked out here."""
        if call.options.get("dropout"):
            return
        found = difference(call, self._passage.batch, self._passage.first)
        if not found.share <= _TOLERANCE + found.by_rounding:  # NaN: only ours is not finite
            raise InputError(
                f"{self._name}: layer {self._layer} does something to its attention that cannot be "
                f"followed: its output differs by {found.share:.1%}. Set scoring.attention_layer "
                "to another one, or choose a method without attention columns."
            )


def attention_columns(heads: Heads, passage: Passage) -> dict[str, Tensor]:
    """Return every column of ATTENTION_COLUMNS over [B, L], float32, from one look at each block.

    With A[q, k] the mean of the heads' attention: prompt_attention is the sum of A[q, k] over the
    conditioning tokens k (ssToken, arXiv 2510.18250, Eq. 5-7), and received_attention the mean of
    A[q, k] over the queries q from k to the sample's end, the ones that can see it (the importance
    of XTF, arXiv 2602.14536, whose released mean over the keys is 1/S for every token).
    """
    wanted_BL2 = _wanted(heads, passage)
    paid_BL2 = torch.zeros_like(wanted_BL2)
    received_BL = torch.zeros_like(wanted_BL2[..., 0])
    for first in range(passage.first, heads.width, heads.num_queries):
        last = min(first + heads.num_queries, heads.width)
        exp_BHQK, total_BHQ1 = heads.block(first, last)
        exp_BRK, share_BR1 = exp_BHQK.flatten(1, 2), (heads.num_heads * total_BHQ1).flatten(1, 2)
        share_BR1 = share_BR1.reciprocal()
        paid_BR2 = (exp_BRK @ wanted_BL2[:, :last]) * share_BR1
        paid_BL2[:, first:last] = paid_BR2.unflatten(1, (heads.num_heads, -1)).sum(dim=1)
        received_BL[:, :last] += (share_BR1.transpose(1, 2) @ exp_BRK).squeeze(1)
    column_L = torch.arange(heads.width, device=received_BL.device)
    num_queries_BL = (heads.end_B[:, None] - column_L).clamp(min=1)
    return {
        "prompt_attention": paid_BL2[..., 0],
        "prompt_attention_but_first": paid_BL2[..., 1],
        "received_attention": received_BL / num_queries_BL,
    }


def _wanted(heads: Heads, passage: Passage) -> Tensor:
    """Return wanted_BL2: 1 where a key is a conditioning token, and one that is not the first."""
    conditioning_BL = torch.from_numpy(passage.conditioning_BL).to(heads.start_B.device)
    column_L = torch.arange(heads.width, device=heads.start_B.device)
    but_first_BL = conditioning_BL & (column_L != heads.start_B[:, None])
    return torch.stack([conditioning_BL, but_first_BL], dim=-1).float()


@contextmanager
def _overheard(hear: Callable[[Call], None]) -> Iterator[None]:
    """Tell `hear` of every call of an attention function of transformers, when it is done."""
    attributes = vars(ALL_ATTENTION_FUNCTIONS)
    look_up = ALL_ATTENTION_FUNCTIONS.get_interface

    def look_up_and_listen(*names: Any, **more: Any) -> Callable[..., Any]:
        return _listening(look_up(*names, **more), hear)

    attributes["get_interface"] = look_up_and_listen
    try:
        yield
    finally:
        del attributes["get_interface"]


def _listening(attend: Callable[..., Any], hear: Callable[[Call], None]) -> Callable[..., Any]:
    """Return the attention function, followed by `hear`."""

    def attend_and_tell(
        module: torch.nn.Module, query: Tensor, key: Tensor, value: Tensor, *mask: Any, **more: Any
    ) -> Any:
        answer = attend(module, query, key, value, *mask, **more)
        own = mask[0] if mask else more.get("attention_mask")
        hear(Call(getattr(module, "layer_idx", None), query, key, value, own, more, answer[0]))
        return answer

    return attend_and_tell
