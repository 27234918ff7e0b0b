"""What a causal language model says of the next tokens, without logits for every position.

The body runs over whole samples; the head runs only on the rows that predict a token we score.
The head is the model's own: its `forward` is called with the body standing still, so whatever a
model does to its logits (scales, soft caps, extra projections) is done here too.

Shapes: B = samples of a batch, L = its width in tokens, K = rows that predict, H = hidden size,
V = vocabulary.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import DTypeLike, NDArray
from torch import Tensor
from transformers import PreTrainedModel

from tokensieve.corpus import Int32s, Int64s
from tokensieve.errors import InputError

_CHECK_LENGTHS = (12, 7)
_CHECK_TOLERANCE = {torch.float32: 1e-3, torch.bfloat16: 0.1}


@dataclass(frozen=True)
class Batch:
    """Samples padded to one width."""

    input_ids_BL: Int64s
    """Token ids; 0 where there is no token."""
    starts_B: Int64s
    """The column in which each sample begins."""
    ends_B: Int64s
    """The column after the last token of each sample."""

    def laid_out(self, values: Sequence[NDArray[Any]], dtype: DTypeLike) -> NDArray[Any]:
        """Return an array over [B, L]: each sample's values in its columns, 0 in the others."""
        values_BL = np.zeros(self.input_ids_BL.shape, dtype)
        for row, start, end, each in zip(
            values_BL, self.starts_B, self.ends_B, values, strict=True
        ):
            row[start:end] = each
        return values_BL

    def rows_before(self, sample: int, positions: Int64s) -> Int64s:
        """Return the rows of the flattened batch that predict the sample's tokens at `positions`.

        A row predicts the token after it. Position 0 has no row before it.
        """
        first = sample * self.input_ids_BL.shape[1] + int(self.starts_B[sample])
        rows: Int64s = positions - 1 + first
        return rows


def padded(samples: Sequence[Int32s], side: Literal["left", "right"] = "right") -> Batch:
    """Return the samples as one batch."""
    lengths_B = np.array([len(sample) for sample in samples], dtype=np.int64)
    width = int(lengths_B.max())
    starts_B = width - lengths_B if side == "left" else np.zeros_like(lengths_B)
    input_ids_BL = np.zeros((len(samples), width), dtype=np.int64)
    batch = Batch(input_ids_BL, starts_B, starts_B + lengths_B)
    batch.input_ids_BL[:] = batch.laid_out(samples, np.int64)
    return batch


class NextTokens:
    """The body's answer to one batch, from which logits of any of its rows can be had."""

    def __init__(self, model: PreTrainedModel, batch: Batch) -> None:
        """Run the body. Wrap in torch.inference_mode() unless it is to be trained."""
        self._model = model
        self._body = model.get_decoder()
        ids_BL = on_device(batch.input_ids_BL, model.device)
        self._output = self._body(input_ids=ids_BL, use_cache=False, **_padding(batch, ids_BL))
        self.hidden_BLH: Tensor = self._output.last_hidden_state
        """The body's answer at every place of the batch."""

    @property
    def device(self) -> torch.device:
        """Return where the logits will be."""
        return self.hidden_BLH.device

    def logits(self, rows_K: Tensor) -> Tensor:
        """Return logits_KV of the given rows of the flattened batch."""
        return self.head(self.hidden_BLH.flatten(0, 1)[rows_K])

    def head(self, hidden_KH: Tensor) -> Tensor:
        """Return logits_KV of any answers of the body, as the model's own forward makes them."""
        chosen = {**self._output, "last_hidden_state": hidden_KH.unsqueeze(0)}
        with _standing_still(self._body, type(self._output)(**chosen)):
            ids_1K = torch.zeros(1, len(hidden_KH), dtype=torch.int64, device=self.device)
            logits_1KV: Tensor = self._model(input_ids=ids_1K, use_cache=False).logits
        return logits_1KV.squeeze(0)


def on_device(array: NDArray[Any], device: torch.device) -> Tensor:
    """Return the array on the device. A GPU gets it while the CPU goes on."""
    tensor = torch.from_numpy(array)
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor


def check_forward(model: PreTrainedModel) -> None:
    """Return if NextTokens gives the model's own logits for a small batch; else raise InputError.

    The short sample is the beginning of the long one, so a model whose predictions depend on
    padding, on other samples or on later tokens is found out too.
    """
    num_rows = int(model.get_input_embeddings().weight.shape[0])
    long_ids = np.linspace(0, num_rows - 1, _CHECK_LENGTHS[0]).astype(np.int32)
    batch = padded([long_ids[:length] for length in _CHECK_LENGTHS])
    position_K = [np.arange(1, length + 1) for length in _CHECK_LENGTHS]
    rows = np.concatenate([batch.rows_before(index, each) for index, each in enumerate(position_K)])
    with torch.inference_mode():
        ids_1L = torch.from_numpy(long_ids[None]).long().to(model.device)
        own_LV = model(input_ids=ids_1L, use_cache=False).logits[0].float().log_softmax(-1)
        answer = NextTokens(model, batch)
        ours_KV = answer.logits(torch.from_numpy(rows).to(answer.device)).float().log_softmax(-1)
    own_KV = torch.cat([own_LV[:length] for length in _CHECK_LENGTHS]).to(ours_KV.device)
    difference = (ours_KV - own_KV).abs().mean().item()
    if not difference <= _CHECK_TOLERANCE[model.dtype]:  # also when it is NaN
        raise InputError(
            f"{model.name_or_path}: on a trial batch its losses differ by {difference:.2g} nats "
            "from those of single samples. It cannot be scored: it is not a causal language model, "
            "or its weights overflow in this dtype (try scoring.dtype = float32)."
        )


def _padding(batch: Batch, ids_BL: Tensor) -> dict[str, Tensor]:
    """Return what the body must know of the padding: nothing, if it comes after the samples.

    A causal model cannot see it there, and without a mask the fastest attention kernels apply.
    """
    if not batch.starts_B.any():
        return {}
    starts_B1 = torch.from_numpy(batch.starts_B[:, None]).to(ids_BL.device)
    position_ids_BL = torch.arange(ids_BL.shape[1], device=ids_BL.device) - starts_B1
    mask_BL = (position_ids_BL >= 0).long()
    return {"attention_mask": mask_BL, "position_ids": position_ids_BL.clamp(min=0)}


@contextmanager
def _standing_still(body: torch.nn.Module, output: Any) -> Iterator[None]:
    """Let the body return `output` whatever it is given."""
    attributes = vars(body)
    own = attributes.get("forward")  # set if the model is spread over devices
    attributes["forward"] = lambda *args, **kwargs: output
    try:
        yield
    finally:
        del attributes["forward"]
        if own is not None:
            attributes["forward"] = own
