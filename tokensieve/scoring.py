"""Scores of a shard under one model: the nll of every response token, and how open the choice was.

Everything is indexed at the token itself: nll_T[t] is the cost of token t given the tokens before
it in its sample, computed from the row of token t - 1.

Shapes: N, T as in `corpus`; S = scorable tokens; K = rows in one pass of the head; V = vocabulary.
Units: nats.
"""

from collections import Counter
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedModel

from tokensieve.corpus import Float32s, Int64s, Samples, Shard
from tokensieve.errors import InputError, ResourceError
from tokensieve.forward import Batch, NextTokens, padded
from tokensieve.settings import ScoringSettings

_CPU_BATCH_TOKENS = 1024  # activations of more leave the cache, and are not faster
_HEAD_BYTES = {"cpu": 32 << 20, "cuda": 512 << 20}  # fp32 logits of one matrix multiplication
_PASS_BYTES = {"cpu": 2 << 20, "cuda": 512 << 20}  # of them, reduced at once: a CPU's L2 cache


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


@torch.inference_mode()
def score_shard(
    model: PreTrainedModel,
    shard: Shard,
    settings: ScoringSettings,
    on_batch: Callable[[int], None],
) -> tuple[dict[str, Float32s], dict[str, int]]:
    """Return the columns `nll` and `entropy` (nats, arrays over T) and what was counted.

    nll = -log p(token | tokens before it), entropy = -sum p log p of the same distribution, both
    from log-sum-exp in float32. NaN: not a response token, a response token at position 0, or a
    score that is not finite. `on_batch` is told the tokens that are done; its calls add up to T.
    Of the counts, response_tokens = scored_tokens + non_finite_tokens + unscorable_tokens.

    A batch that does not fit the memory is halved, down to one sample (ResourceError). Raises
    InputError if the samples do not fit the model. Whether too many scores are not finite is for
    the caller to say, who sees more than one shard: `check_finite`.
    """
    check_fits(model, shard)
    scoring = _ShardScoring(model, shard)
    for samples in scoring.plan(settings.batch_tokens):
        scoring.score(samples)
        on_batch(int(shard.lengths_N[samples].sum()))
    on_batch(int(shard.lengths_N[scoring.needed_N == 0].sum()))
    return scoring.result()


class _ShardScoring:
    """The scores of a shard while they are being made."""

    def __init__(self, model: PreTrainedModel, shard: Shard) -> None:
        self._model = model
        self._shard = shard
        self._scores_2T = torch.full((2, len(shard.input_ids_T)), torch.nan, device=model.device)
        self._scorable_T = shard.scorable_T
        self._vocab_size = int(model.config.get_text_config().vocab_size)
        self._counts: Counter[str] = Counter()
        self.needed_N = _needed_lengths(shard)

    def plan(self, batch_tokens: int) -> list[Int64s]:
        """Return the batches of the shard for the model's device."""
        on_gpu = self._model.device.type != "cpu"
        return plan_batches(self.needed_N, device_batch_tokens(batch_tokens, on_gpu))

    def score(self, samples: Int64s) -> None:
        """Score the samples as one batch, or in halves of it if the memory is too small."""
        pending = [samples]
        while pending:
            batch = pending.pop()
            if not self._fits(batch):
                self._counts["oom_splits"] += 1
                pending += [batch[len(batch) // 2 :], batch[: len(batch) // 2]]

    def result(self) -> tuple[dict[str, Float32s], dict[str, int]]:
        """Return the columns, NaN where either score is not finite, and the counts."""
        scores_2T = self._scores_2T.cpu().numpy()
        scores_2T[:, ~np.isfinite(scores_2T).all(axis=0)] = np.nan
        num_scorable = int(self._scorable_T.sum())
        num_response = int(self._shard.response_T.sum())
        num_scored = int(np.isfinite(scores_2T[0]).sum())
        counts = {
            "tokens": len(self._shard.input_ids_T),
            "response_tokens": num_response,
            "scored_tokens": num_scored,
            "non_finite_tokens": num_scorable - num_scored,
            "unscorable_tokens": num_response - num_scorable,
            "padded_tokens": self._counts["padded_tokens"],
            "oom_splits": self._counts["oom_splits"],
        }
        return {"nll": scores_2T[0], "entropy": scores_2T[1]}, counts

    def _fits(self, samples: Int64s) -> bool:
        """Score the batch and return True, or return False if the memory is too small for it."""
        try:
            self._score_batch(samples)
        except torch.OutOfMemoryError:
            if len(samples) == 1:
                [sample] = samples
                raise ResourceError(
                    f"sample {self._shard.sample_ids[sample]}: {self._shard.lengths_N[sample]} "
                    f"tokens do not fit into the memory of {self._model.device}. Lower "
                    "corpus.max_length, or set cluster.gpus_per_worker above 1."
                ) from None
        else:
            return True
        torch.cuda.empty_cache()
        return False

    def _score_batch(self, samples: Int64s) -> None:
        batch, rows_S, tokens_S = self._batch(samples)
        answer = NextTokens(self._model, batch)
        targets_S = self._shard.input_ids_T[tokens_S].astype(np.int64)
        rows, targets = (torch.from_numpy(each).to(answer.device) for each in (rows_S, targets_S))
        num_chunks = -(-len(rows) // _rows_of(_HEAD_BYTES[answer.device.type], self._vocab_size))
        chunks = zip(rows.chunk(num_chunks), targets.chunk(num_chunks), strict=True)
        scores_2S = torch.cat([_scores(answer.logits(r), t) for r, t in chunks], dim=1)
        where_S = torch.from_numpy(tokens_S).to(self._scores_2T.device)
        self._scores_2T[:, where_S] = scores_2S.to(self._scores_2T.device)
        self._counts["padded_tokens"] += batch.input_ids_BL.size - int(self.needed_N[samples].sum())

    def _batch(self, samples: Int64s) -> tuple[Batch, Int64s, Int64s]:
        """Return the batch, its rows that predict a scorable token, and those tokens in T."""
        starts = self._shard.offsets_N1[samples].tolist()
        ends = (self._shard.offsets_N1[samples] + self.needed_N[samples]).tolist()
        spans = list(zip(starts, ends, strict=True))
        batch = padded([self._shard.input_ids_T[start:end] for start, end in spans])
        positions = [np.flatnonzero(self._scorable_T[start : end + 1]) for start, end in spans]
        rows = [batch.rows_before(index, each) for index, each in enumerate(positions)]
        tokens = [start + each for start, each in zip(starts, positions, strict=True)]
        return batch, np.concatenate(rows), np.concatenate(tokens)


def _needed_lengths(shard: Shard) -> Int64s:
    """Return how many tokens of each sample the model must read: those before its last scorable."""
    needed_N = np.zeros(shard.num_samples, dtype=np.int64)
    scorable_T = shard.scorable_T
    for sample, span in enumerate(shard.slices()):
        needed_N[sample] = np.flatnonzero(scorable_T[span]).max(initial=0)
    return needed_N


def _scores(logits_KV: Tensor, targets_K: Tensor) -> Tensor:
    """Return scores_2K: nll and entropy of each row, reduced while the logits are in the cache."""
    num_rows = _rows_of(_PASS_BYTES[logits_KV.device.type], logits_KV.shape[1])
    passes = zip(logits_KV.split(num_rows), targets_K.split(num_rows), strict=True)
    return torch.cat([nll_and_entropy(logits, targets) for logits, targets in passes], dim=1)


def nll_and_entropy(logits_KV: Tensor, targets_K: Tensor) -> Tensor:
    """Return scores_2K in nats, float32: with z = logits - their maximum and L = log sum exp z,
    nll = L - z[target] and entropy = L - sum(exp z * z) / sum(exp z).
    """
    z_KV = logits_KV.float()
    z_KV = z_KV - z_KV.amax(dim=-1, keepdim=True)
    target_K = z_KV.gather(1, targets_K[:, None])[:, 0]
    exp_KV = z_KV.exp()
    sum_K = exp_KV.sum(dim=-1)
    log_sum_K = sum_K.log()
    entropy_K = log_sum_K - z_KV.mul_(exp_KV).sum(dim=-1) / sum_K
    return torch.stack([log_sum_K - target_K, entropy_K])


def _rows_of(num_bytes: int, vocab_size: int) -> int:
    """Return how many rows of float32 logits make up `num_bytes`, at least one."""
    return max(1, num_bytes // (4 * vocab_size))


def check_fits(model: PreTrainedModel, samples: Samples) -> None:
    """Refuse ids without an embedding and samples longer than the model's context."""
    num_rows = model.get_input_embeddings().weight.shape[0]
    wrong_T = (samples.input_ids_T < 0) | (samples.input_ids_T >= num_rows)
    if wrong_T.any():
        token = int(np.argmax(wrong_T))
        sample = int(np.searchsorted(samples.offsets_N1, token, side="right")) - 1
        raise InputError(
            f"sample {samples.sample_ids[sample]}: token id {samples.input_ids_T[token]} has no "
            f"embedding in {model.name_or_path}, which has {num_rows}. Make the corpus with the "
            "tokenizer of this model."
        )
    context = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    longest = int(np.argmax(samples.lengths_N)) if samples.num_samples else 0
    length = int(samples.lengths_N[longest]) if samples.num_samples else 0
    if context and length > context:
        raise InputError(
            f"sample {samples.sample_ids[longest]}: is {length} tokens long, but "
            f"{model.name_or_path} was made for {context}. Set corpus.max_length to {context}."
        )


def check_finite(path: str, num_wrong: int, num_response: int, max_share: float) -> None:
    """Raise InputError if more than `max_share` of a corpus's response tokens have no finite score.

    `num_wrong` may still grow: once it is too large, the model is refused whatever follows.
    """
    if num_wrong > max_share * num_response:
        raise InputError(
            f"{path}: {num_wrong} of {num_response} response tokens have a score that is not "
            f"finite (allowed: {max_share:.2%}, scoring.max_non_finite). The model is damaged, or "
            "overflows: try scoring.dtype = float32."
        )
