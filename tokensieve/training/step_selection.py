"""Selection inside training: at every step, by what the model then says of the step's samples.

The samples are scored as one shard, in the order of the corpus, before the step's first backward
pass. So a share of the dataset is a share of the whole step, and how the step is cut into passes
and how many processes share them changes the numbers by rounding only: a token can change sides if
it lies as near to the threshold as that. Losses were seen to move by 0.000004 nats in float32, and
by 0.07 in bfloat16. Where the model says the same as the one it is compared with, so that every
number is made of rounding, the methods see to it that none decides.

Shapes: T = tokens of the corpus, S = tokens of a step's samples, C = columns.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np
import torch
from transformers import PreTrainedModel

from tokensieve.corpus import Float32s, Int64s, Shard
from tokensieve.errors import TokensieveError, shortened
from tokensieve.methods import Evidence, Selector, Source
from tokensieve.methods.method import CURRENT
from tokensieve.policies import overridden
from tokensieve.scoring import ShardScoring
from tokensieve.selection import Decision
from tokensieve.training.arrays import tokens_of
from tokensieve.training.data import TrainingData
from tokensieve.training.evidence import StepMethod, StoredEvidence
from tokensieve.training.ranks import Ranks, forget_gathered, is_sharded
from tokensieve.training.trainee import Trainee


@dataclass(frozen=True)
class StepScorer:
    """How the model in training is asked about samples: by all processes together."""

    trainee: Trainee
    autocast: torch.autocast
    ranks: Ranks
    batch_tokens: int
    attention_layer: int

    @torch.no_grad()
    def scores(self, shard: Shard, columns: Sequence[str]) -> tuple[dict[str, Float32s], int]:
        """Return the columns over the shard's tokens, and how many tokens the model has read.

        Without dropout: the numbers are those of the model itself. Every process gets all of them.
        """
        scoring = ShardScoring(self.trainee.model, shard, columns, self.attention_layer)
        batches = scoring.plan(self.batch_tokens)
        mine = [samples for _, samples in self.ranks.deal(batches)]
        with _evaluating(self.trainee.model):
            for samples in mine:
                self.trainee.score(scoring, samples, self.autocast)
            if is_sharded(self.trainee) and len(mine) < self.ranks.most_passes(len(batches)):
                self.trainee.score(scoring, batches[0], self.autocast)  # the others wait for it
        forget_gathered(self.trainee)
        values, _ = scoring.result()
        return self._put_together(values, shard, mine), int(scoring.needed_N.sum())

    def _put_together(
        self, values: dict[str, Float32s], shard: Shard, mine: list[Int64s]
    ) -> dict[str, Float32s]:
        """Return what the processes have found, each for its own samples, as one."""
        if self.ranks.num_ranks == 1:
            return values
        found_CS = torch.zeros(len(values), len(shard.input_ids_T))
        for samples in mine:
            token_S = tokens_of(shard.offsets_N1, samples)
            for row_S, values_S in zip(found_CS.numpy(), values.values(), strict=True):
                row_S[token_S] = values_S[token_S]
        found_CS = found_CS.to(self.trainee.device)
        self.ranks.add_up([found_CS])
        return dict(zip(values, found_CS.cpu().numpy(), strict=True))


class StepSelection:
    """Decides on the weights of each step's tokens."""

    def __init__(self, data: TrainingData, chosen: StepMethod, scorer: StepScorer) -> None:
        """Decide on nothing yet."""
        assert chosen.evidence is not None, "a method that decides at each step has some"
        self._data = data
        self._stored: StoredEvidence = chosen.evidence
        self._method, self._settings = chosen.method, chosen.settings
        self._policies = chosen.policies
        self._scorer = scorer
        self.decided_T = np.full(len(data.input_ids_T), np.nan, dtype=np.float32)
        """The last weight of each token; NaN where it was no candidate, or not yet."""

    def weights(self, samples: Int64s) -> tuple[Float32s, int]:
        """Return weight_S of the samples in their order, and how many tokens were read for it.

        Raises TokensieveError if the model has no finite score for one of the tokens.
        """
        num_tokens = 0
        candidates = np.sort(samples[self._data.num_kept_N[samples] > 0])
        if len(candidates):
            token_S = tokens_of(self._data.offsets_N1, candidates)
            evidence, num_tokens = self._evidence(candidates)
            decision = self._decision(evidence, token_S)
            self.decided_T[token_S] = np.where(
                np.isnan(decision.score_T), np.nan, decision.weight_T
            )
        weight_S = self.decided_T[tokens_of(self._data.offsets_N1, samples)]
        return np.nan_to_num(weight_S), num_tokens

    def _decision(self, evidence: Evidence, token_S: Int64s) -> Decision:
        """Return what the method decides on the samples, and the policies after it."""
        selector = Selector.of(self._method, self._settings, Source(lambda _: evidence, 1))
        decision = selector.decide(evidence)
        if self._policies is None:
            return decision
        policies, guard_S = self._policies.settings, self._policies.guard_T[token_S]
        offsets_N1 = evidence.shard.offsets_N1
        return overridden(decision, offsets_N1, selector.rule, policies, guard_S)

    def _evidence(self, samples: Int64s) -> tuple[Evidence, int]:
        """Return what is known of the samples and what the model says of them, as one shard."""
        stored = self._stored.of(self._data, samples, self._settings.seed)
        current, num_tokens = self._scorer.scores(stored.shard, self._method.columns[CURRENT])
        _check_finite(stored.shard, current)
        return replace(stored, scores={**stored.scores, CURRENT: current}), num_tokens


def _check_finite(shard: Shard, current: dict[str, Float32s]) -> None:
    wrong_S = shard.scorable_T & np.isnan(np.stack(list(current.values()))).any(axis=0)
    if wrong_S.any():
        numbers = np.searchsorted(shard.offsets_N1, np.flatnonzero(wrong_S), side="right") - 1
        names = ", ".join(shard.sample_ids[n] for n in np.unique(numbers))
        raise TokensieveError(
            f"training: the scores of {wrong_S.sum()} tokens are not finite, in the samples "
            f"{shortened(names, 500)}. Nothing was saved. Lower training.learning_rate, set "
            "training.clip_norm, or train in float32."
        )


@contextmanager
def _evaluating(model: PreTrainedModel) -> Iterator[None]:
    """Take the model out of training mode."""
    was_training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(was_training)
