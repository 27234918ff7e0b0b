"""What a method that acts at each step of a training looks at, beside what the model then says.

Shapes: N = samples, T = all their tokens one after another.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from tokensieve.corpus import Bools, Float32s, Int8s, Int16s, Int64s, Samples, Shard
from tokensieve.methods import Evidence, Method
from tokensieve.settings import PolicySettings, ScoringSettings, SelectionSettings
from tokensieve.training.arrays import append, offsets_of, tokens_of


@dataclass(frozen=True)
class StoredEvidence:
    """What was known of all samples before: 3 bytes of memory for each token, 4 for each score."""

    sources: list[str]
    """N names of where the sample came from."""
    response_T: Bools
    """True where the token belongs to an answer of the assistant."""
    turn_T: Int16s
    """Which exchange the token belongs to, from 0."""
    scores: Mapping[str, Mapping[str, Float32s]]
    """By role and column: values over T, NaN where there is no score."""

    @classmethod
    def joined(cls, shards: Iterable[Evidence]) -> "StoredEvidence":
        """Return what is known of the shards, in their order; one at a time is taken and added."""
        sources: list[str] = []
        response_T, turn_T = np.zeros(0, np.bool_), np.zeros(0, np.int16)
        scores: dict[str, dict[str, Float32s]] = {}
        for evidence in shards:
            sources += evidence.shard.sources
            append(response_T, evidence.shard.response_T)
            append(turn_T, evidence.shard.turn_T)
            for role, columns in evidence.scores.items():
                for name, values_T in columns.items():
                    known = scores.setdefault(role, {})
                    append(known.setdefault(name, np.zeros(0, np.float32)), values_T)
        return cls(sources, response_T, turn_T, scores)

    def of(self, data: Samples, samples: Int64s, seed: int) -> Evidence:
        """Return some of the samples as a shard by themselves, with what is known of them."""
        token_S = tokens_of(data.offsets_N1, samples)
        shard = Shard(
            sample_ids=[data.sample_ids[n] for n in samples],
            offsets_N1=offsets_of(data.lengths_N[samples]),
            input_ids_T=data.input_ids_T[token_S],
            sources=[self.sources[n] for n in samples],
            response_T=self.response_T[token_S],
            turn_T=self.turn_T[token_S],
        )
        scores = {
            role: {name: values_T[token_S] for name, values_T in columns.items()}
            for role, columns in self.scores.items()
        }
        return Evidence(shard, scores, seed)


@dataclass(frozen=True)
class StepPolicies:
    """What overrides a method at each step."""

    settings: PolicySettings
    guard_T: Int8s
    """Which of `settings.protections` each token has, -1: none."""


@dataclass(frozen=True)
class StepMethod:
    """A method that has a say in the weights of each step."""

    method: Method
    settings: SelectionSettings
    """Those that the selection was made with."""
    evidence: StoredEvidence | None
    """None: it weighs anew what the selection has decided."""
    attention_layer: int = ScoringSettings().attention_layer
    """Of the model in training, if the method looks at its attention."""
    policies: StepPolicies | None = None
    """Unset: what the method says at a step stands."""
