"""The loss and its gradient, from the body's answer, with logits only where a token has a weight.

Some rows at a time: their logits, the loss, and the gradient of the logits in the logits' own
memory are worked out at once and sent back as far as the body's answer. The next rows take the same
memory. Nothing is computed twice, and no array is ever [batch, length, vocabulary].

The head is the model's own, as in `forward`. A head whose last operation keeps its result for the
gradient would lose it; torch finds that out and says so. Scales and soft caps are not of that kind.

Shapes: as in `forward`; R = B * L places of a batch, K = rows at a time.
"""

import torch
from torch import Tensor

from tokensieve.forward import NextTokens, on_device
from tokensieve.training.plan import MicroBatch

_HEAD_BYTES = {"cpu": 256 << 20, "cuda": 2 << 30}  # float32 logits of one matrix multiplication
_PASS_BYTES = {"cpu": 1 << 20, "cuda": 256 << 20}  # of them, worked on at once: a CPU's L2 cache


def loss_and_gradient(
    answer: NextTokens, micro: MicroBatch, vocab_size: int
) -> tuple[Tensor, Tensor]:
    """Return the loss in nats, sum of share x nll, and its gradient_BLH for the body's answer.

    The gradient for the head's own parameters is added to them.
    """
    gradient_BLH = torch.zeros_like(answer.hidden_BLH)
    hidden_RH, gradient_RH = answer.hidden_BLH.detach().flatten(0, 1), gradient_BLH.flatten(0, 1)
    loss = torch.zeros((), device=answer.device)
    arrays = (micro.row_K, micro.target_K, micro.share_K)
    num_chunks = -(-len(micro.row_K) // _rows_of(_HEAD_BYTES[answer.device.type], vocab_size))
    chunks = zip(*(on_device(a, answer.device).chunk(num_chunks) for a in arrays), strict=True)
    for row_K, target_K, share_K in chunks:
        hidden_KH = hidden_RH[row_K].requires_grad_()
        logits_KV = answer.head(hidden_KH)
        loss += nll_to_gradient_(logits_KV.detach(), target_K, share_K)
        with torch.autocast(answer.device.type, enabled=False):
            logits_KV.backward(logits_KV.detach())
        assert hidden_KH.grad is not None
        gradient_RH[row_K] = hidden_KH.grad
    return loss, gradient_BLH


def nll_to_gradient_(logits_KV: Tensor, target_K: Tensor, share_K: Tensor) -> Tensor:
    """Return the sum of share x nll in nats, and put its gradient in the place of the logits.

    In float32: nll = -log p[target], gradient = share x (p - [1 at the target]).
    """
    num_rows = _rows_of(_PASS_BYTES[logits_KV.device.type], logits_KV.shape[1])
    arrays = (each.split(num_rows) for each in (logits_KV, target_K, share_K))
    loss = torch.zeros((), device=logits_KV.device)
    for z_KV, targets, shares in zip(*arrays, strict=True):
        target_K1, share_K1 = targets[:, None], shares[:, None]
        p_KV = z_KV.log_softmax(-1, dtype=torch.float32)
        loss -= (p_KV.gather(1, target_K1) * share_K1).sum()
        p_KV.exp_().mul_(share_K1).scatter_add_(1, target_K1, -share_K1)
        z_KV.copy_(p_KV)
    return loss


def _rows_of(num_bytes: int, vocab_size: int) -> int:
    """Return how many rows of float32 logits make up `num_bytes`, at least one."""
    return max(1, num_bytes // (4 * vocab_size))
