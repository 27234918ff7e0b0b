"""Columns of the distributions that tokens were drawn from, reduced while logits are in the cache.

Shapes: K = rows of logits, V = vocabulary, C = columns. Units: nats.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

_HEAD_BYTES = {"cpu": 32 << 20, "cuda": 512 << 20}  # fp32 logits of one matrix multiplication
_PASS_BYTES = {"cpu": 2 << 20, "cuda": 512 << 20}  # of them, reduced at once: a CPU's L2 cache
_NUM_TOP = 20


def head_rows(device: torch.device, vocab_size: int) -> int:
    """Return how many rows the head should work out at once, at least one."""
    return _rows_of(_HEAD_BYTES[device.type], vocab_size)


def token_scores(logits_KV: Tensor, targets_K: Tensor, columns: Sequence[str]) -> Tensor:
    """Return scores_CK of each row's target, float32, in the order of the columns."""
    num_rows = _rows_of(_PASS_BYTES[logits_KV.device.type], logits_KV.shape[1])
    passes = zip(logits_KV.split(num_rows), targets_K.split(num_rows), strict=True)
    return torch.cat([reduced(logits, targets, columns) for logits, targets in passes], dim=1)


def reduced(logits_KV: Tensor, targets_K: Tensor, columns: Sequence[str]) -> Tensor:
    """Return scores_CK in nats, float32: with z = logits - their maximum and L = log sum exp z,
    nll = L - z[target], entropy = L - sum(exp z * z) / sum(exp z), sum_p2 = sum((exp z)^2) /
    (sum exp z)^2; top_entropy is the entropy of the 20 largest z alone (EAFT, arXiv 2601.02151).
    """
    z_KV = logits_KV.float()
    z_KV = z_KV - z_KV.amax(dim=-1, keepdim=True)
    target_K = z_KV.gather(1, targets_K[:, None])[:, 0]
    scores = {}
    if "top_entropy" in columns:
        scores["top_entropy"] = _entropy(z_KV.topk(min(_NUM_TOP, z_KV.shape[1])).values)
    exp_KV = z_KV.exp()
    sum_K = exp_KV.sum(dim=-1)
    log_sum_K = sum_K.log()
    if "sum_p2" in columns:
        scores["sum_p2"] = exp_KV.square().sum(dim=-1) / sum_K.square()
    scores["nll"] = log_sum_K - target_K
    scores["entropy"] = log_sum_K - z_KV.mul_(exp_KV).sum(dim=-1) / sum_K
    return torch.stack([scores[column] for column in columns])


def _entropy(z_KV: Tensor) -> Tensor:
    """Return the entropy of softmax z in nats; the largest z of each row is 0."""
    exp_KV = z_KV.exp()
    sum_K = exp_KV.sum(dim=-1)
    return sum_K.log() - (exp_KV * z_KV).sum(dim=-1) / sum_K


def _rows_of(num_bytes: int, vocab_size: int) -> int:
    """Return how many rows of float32 logits make up `num_bytes`, at least one."""
    return max(1, num_bytes // (4 * vocab_size))
