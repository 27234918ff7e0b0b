"""The policies of one selection, made ready for its shards."""

from dataclasses import dataclass, replace

import numpy as np

from tokensieve.methods.method import Evidence
from tokensieve.models import load_tokenizer
from tokensieve.policies.overriding import overridden
from tokensieve.policies.protections import Guard
from tokensieve.ranking import Rule
from tokensieve.selection import Decision, Words
from tokensieve.settings import PolicySettings

PROTECTED = "protected"
"""Column of what protects a token, in a selection whose method decides at each step."""


@dataclass(frozen=True)
class Policies:
    """Overrides what a method decides."""

    settings: PolicySettings
    guard: Guard | None
    """Unset: nothing is protected."""
    is_later: bool
    """Whether the method decides at each step of a training, which overrides it then."""

    @classmethod
    def of(cls, settings: PolicySettings, base: str, is_later: bool) -> "Policies":
        """Return the policies over corpora of the tokenizer of the model in this directory."""
        guard = Guard(load_tokenizer(base), settings) if settings.protections else None
        return cls(settings, guard, is_later)

    def decide(self, decision: Decision, seen: Evidence, rule: Rule) -> Decision:
        """Return the decision on a shard with everything that the policies change about it.

        If the method decides later, it says what is protected then, and changes nothing.
        """
        guard_T = np.full(len(decision.weight_T), -1, dtype=np.int8)
        if self.guard is not None:
            guard_T = self.guard.guards(seen.shard, seen.number)
        if not self.is_later:
            return overridden(decision, seen.shard.offsets_N1, rule, self.settings, guard_T)
        guard_T[np.isnan(decision.score_T)] = -1
        protected = Words(guard_T, self.settings.protections)
        return replace(decision, words={**decision.words, PROTECTED: protected})
