"""What a method is: a number for each token, and how to choose by it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from tokensieve.corpus import Float32s, Float64s, Shard
from tokensieve.ranking import Direction, Rounding, Rule, ScoredShard
from tokensieve.settings import Scope, SelectionSettings


@dataclass(frozen=True)
class Evidence:
    """What a method may look at: one shard of the corpus, and what the models say of it."""

    shard: Shard
    scores: Mapping[str, Mapping[str, Float32s]]
    """By role and column: values over T, NaN where there is no score."""
    seed: int
    """For methods that draw."""


@dataclass(frozen=True)
class Method:
    """One way of choosing tokens."""

    name: str
    source: str
    """The paper and the equation."""
    summary: str
    """What it keeps and why, in a sentence for users."""
    score: Callable[[Evidence], Float64s]
    """Returns score_T; what it says of tokens that no model can score is not used."""
    columns: Mapping[str, tuple[str, ...]]
    """The score columns it needs of each role; empty if it needs no model."""
    direction: Direction
    default_scope: Scope
    rounding: Rounding = "floor"
    draws: bool = False
    """Whether its numbers depend on the seed."""

    @property
    def roles(self) -> tuple[str, ...]:
        """Return the models whose scores it needs."""
        return tuple(self.columns)

    def rule(self, settings: SelectionSettings) -> Rule:
        """Return how the tokens are chosen by their numbers under these settings."""
        scope = settings.scope or self.default_scope
        return Rule(self.direction, scope, settings.keep, self.rounding)

    def scored(self, evidence: Evidence) -> ScoredShard:
        """Return the shard as a selection sees it: a number for each candidate, else NaN."""
        shard = evidence.shard
        score_T = np.where(shard.scorable_T, self.score(evidence), np.nan)
        return ScoredShard(score_T, shard.offsets_N1, shard.sources)
