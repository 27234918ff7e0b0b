"""The forward passes of a shard, and the columns that come of them.

Shapes: N, T as in `corpus`; S = scorable tokens of a batch; C = columns; B, L as in `forward`.
"""

from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedModel

from tokensieve.corpus import Float32s, Int64s, Shard
from tokensieve.errors import ResourceError
from tokensieve.forward import Batch, NextTokens, padded
from tokensieve.scoring.attention import Passage, read_with_attention, resolved_layer
from tokensieve.scoring.batches import device_batch_tokens, plan_batches
from tokensieve.scoring.checks import check_fits
from tokensieve.scoring.columns import ATTENTION_COLUMNS, COLUMNS, DISTRIBUTION_COLUMNS
from tokensieve.scoring.distribution import head_rows, token_scores
from tokensieve.settings import ScoringSettings


@torch.inference_mode()
def score_shard(
    model: PreTrainedModel,
    shard: Shard,
    settings: ScoringSettings,
    columns: Sequence[str],
    on_batch: Callable[[int], None],
) -> tuple[dict[str, Float32s], dict[str, int]]:
    """Return the columns by name, arrays over T as `COLUMNS` has them, and what was counted.

    NaN: not a response token, a response token at position 0, or a token that any of its columns
    is not finite for. `on_batch` is told the tokens that are done; its calls add up to T.
    Of the counts, response_tokens = scored_tokens + non_finite_tokens + unscorable_tokens.

    A batch that does not fit the memory is halved, down to one sample (ResourceError). Raises
    InputError if the samples do not fit the model or its attention cannot be followed, and
    SettingsError if it has no such layer. Whether too many scores are not finite is for the caller
    to say, who sees more than one shard: `check_finite`.
    """
    check_fits(model, shard)
    scoring = ShardScoring(model, shard, columns, settings.attention_layer)
    for samples in scoring.plan(settings.batch_tokens):
        scoring.score(samples)
        on_batch(int(shard.lengths_N[samples].sum()))
    on_batch(int(shard.lengths_N[scoring.needed_N == 0].sum()))
    return scoring.result()


class ShardScoring:
    """The scores of a shard while they are being made, batch by batch.

    The model is used as it is: its mode, its adapters, autocast and other processes are the
    caller's. Nothing is learned from it, and it can be trained afterwards.
    """

    def __init__(
        self, model: PreTrainedModel, shard: Shard, columns: Sequence[str], attention_layer: int
    ) -> None:
        """Prepare to score samples that fit the model (`check_fits`).

        Of the columns at least one must be of the distribution. Raises SettingsError if a layer is
        needed that does not exist.
        """
        self._columns = tuple(columns)
        self._distribution = [name for name in columns if name in DISTRIBUTION_COLUMNS]
        assert self._distribution, columns
        assert set(columns) <= set(COLUMNS), columns
        self._attention = [name for name in columns if name in ATTENTION_COLUMNS]
        self._layer = resolved_layer(model, attention_layer) if self._attention else None
        self._model = model
        self._shard = shard
        shape = len(columns), len(shard.input_ids_T)
        self._scores_CT = torch.full(shape, torch.nan, device=model.device)
        self._scorable_T = shard.scorable_T
        self._vocab_size = int(model.config.get_text_config().vocab_size)
        self._counts: Counter[str] = Counter()
        self.needed_N = _needed_lengths(shard, columns)
        """How many tokens of each sample the model must read; 0 if it has nothing to score."""

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

    @torch.no_grad()
    def score_batch(self, samples: Int64s) -> None:
        """Score the samples in one pass, or raise torch.OutOfMemoryError.

        For processes that have to do the same number of passes.
        """
        batch, rows_S, tokens_S = self._batch(samples)
        if self._layer is None:
            scores_CS = self._next_token_scores(NextTokens(self._model, batch), rows_S, tokens_S)
        else:
            passage = self._passage(batch, samples, rows_S)
            answer, seen_CBL = read_with_attention(
                self._model, self._layer, passage, self._attention
            )
            own_S = torch.from_numpy(rows_S + 1).to(seen_CBL.device)
            scores_CS = self._next_token_scores(answer, rows_S, tokens_S)
            seen_CS = seen_CBL.flatten(1)[:, own_S].to(scores_CS.device)
            scores_CS = torch.cat([scores_CS, seen_CS])
        where_S = torch.from_numpy(tokens_S).to(self._scores_CT.device)
        self._scores_CT[:, where_S] = scores_CS.to(self._scores_CT.device)
        self._counts["padded_tokens"] += batch.input_ids_BL.size - int(self.needed_N[samples].sum())

    def result(self) -> tuple[dict[str, Float32s], dict[str, int]]:
        """Return the columns, NaN where any of them is not finite, and the counts."""
        scores_CT = self._scores_CT.cpu().numpy()
        finite_T = np.isfinite(scores_CT).all(axis=0)
        scores_CT[:, ~finite_T] = np.nan
        num_scorable = int(self._scorable_T.sum())
        num_response = int(self._shard.response_T.sum())
        num_scored = int(finite_T.sum())
        counts = {
            "tokens": len(self._shard.input_ids_T),
            "response_tokens": num_response,
            "scored_tokens": num_scored,
            "non_finite_tokens": num_scorable - num_scored,
            "unscorable_tokens": num_response - num_scorable,
            "padded_tokens": self._counts["padded_tokens"],
            "oom_splits": self._counts["oom_splits"],
        }
        values = dict(zip([*self._distribution, *self._attention], scores_CT, strict=True))
        return {name: values[name] for name in self._columns}, counts

    def _fits(self, samples: Int64s) -> bool:
        """Score the batch and return True, or return False if the memory is too small for it."""
        try:
            self.score_batch(samples)
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

    def _next_token_scores(self, answer: NextTokens, rows_S: Int64s, tokens_S: Int64s) -> Tensor:
        """Return scores_CS from the rows that predict the tokens, some rows at a time."""
        targets_S = self._shard.input_ids_T[tokens_S].astype(np.int64)
        rows, targets = (torch.from_numpy(each).to(answer.device) for each in (rows_S, targets_S))
        num_chunks = -(-len(rows) // head_rows(answer.device, self._vocab_size))
        chunks = zip(rows.chunk(num_chunks), targets.chunk(num_chunks), strict=True)
        scores = [token_scores(answer.logits(r), t, self._distribution) for r, t in chunks]
        return torch.cat(scores, dim=1)

    def _batch(self, samples: Int64s) -> tuple[Batch, Int64s, Int64s]:
        """Return the batch, its rows that predict a scorable token, and those tokens in T."""
        spans = self._spans(samples)
        batch = padded([self._shard.input_ids_T[span] for span in spans])
        reach = [slice(span.start, span.stop + 1) for span in spans]  # the last may be unread
        positions = [np.flatnonzero(self._scorable_T[span]) for span in reach]
        rows = [batch.rows_before(index, each) for index, each in enumerate(positions)]
        tokens = [span.start + each for span, each in zip(spans, positions, strict=True)]
        return batch, np.concatenate(rows), np.concatenate(tokens)

    def _passage(self, batch: Batch, samples: Int64s, rows_S: Int64s) -> Passage:
        """Return what the attention of the batch is asked about."""
        conditioning = [~self._shard.response_T[span] for span in self._spans(samples)]
        first = int((rows_S % batch.input_ids_BL.shape[1]).min()) + 1
        return Passage(batch, batch.laid_out(conditioning, np.bool_), first)

    def _spans(self, samples: Int64s) -> list[slice]:
        """Return where the tokens that are read of each sample lie in T."""
        starts_N = self._shard.offsets_N1[samples]
        ends_N = starts_N + self.needed_N[samples]
        return [slice(*span) for span in zip(starts_N.tolist(), ends_N.tolist(), strict=True)]


def _needed_lengths(shard: Shard, columns: Sequence[str]) -> Int64s:
    """Return how many tokens of each sample the model must read: 0, or enough for its last column.

    A distribution needs those before the last scorable token, attention paid by it the token too,
    and attention received all that can pay some.
    """
    beyond = "prompt_attention" in columns or "prompt_attention_but_first" in columns
    needed_N = np.zeros(shard.num_samples, dtype=np.int64)
    scorable_T = shard.scorable_T
    for sample, span in enumerate(shard.slices()):
        last = int(np.flatnonzero(scorable_T[span]).max(initial=0))
        if last and "received_attention" in columns:
            needed_N[sample] = span.stop - span.start
        elif last:
            needed_N[sample] = last + beyond
    return needed_N
