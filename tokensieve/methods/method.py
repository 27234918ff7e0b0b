"""What a method is: a number for each token, and how to choose by it."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict

from tokensieve.corpus import Bools, Float32s, Float64s, Int64s, Shard
from tokensieve.ranking import Direction, Rounding, Rule, ScoredShard
from tokensieve.settings import Scope, SelectionSettings, Settings
from tokensieve.sieve import Labels, Vocabulary

CURRENT = "current"
"""Role of the model in training: what it says of a token is known in its step only."""
AT_EACH_STEP = "at each step"
"""When such a method acts."""


class Parameters(Settings):
    """The settings of one method, each documented and given its default in the method's file."""

    model_config = ConfigDict(use_attribute_docstrings=True, allow_inf_nan=False)


NO_PARAMETERS = Parameters()


class Fitted(Protocol):
    """What a method has learned of a corpus before it judges the first shard."""

    @property
    def notes(self) -> Mapping[str, Any]:
        """Return what of it goes on record, as plain JSON."""
        ...


@dataclass(frozen=True)
class Evidence:
    """What a method may look at: one shard of the corpus, and what the models say of it."""

    shard: Shard
    scores: Mapping[str, Mapping[str, Float32s]]
    """By role and column: values over T, NaN where there is no score."""
    seed: int
    """For methods that draw."""
    number: int = 0
    """Of the shard in its corpus."""
    fitted: Any = None
    """What the method's `fit` has returned."""

    def column(self, role: str, name: str) -> Float64s:
        """Return a column of scores in double precision."""
        return self.scores[role][name].astype(np.float64)


@dataclass(frozen=True)
class PlantedEvidence:
    """A copy of samples of the corpus, with noise planted into them."""

    evidence: Evidence
    label_T: Labels
    """0 where the token is as it was, else 1 + the place of its kind in `sieve.KINDS`."""


def _nothing() -> Any:
    raise AssertionError("a method states what its fit reads")


@dataclass(frozen=True)
class Source:
    """Where a method reads what it looks at; what no method asks for need not be there."""

    read: Callable[[int], Evidence]
    """Returns a shard by its number."""
    num_shards: int
    embeddings: Callable[[], Float32s] = _nothing
    """Reads the base's input embeddings, one row for each token id: [vocabulary, hidden]."""
    planted: Callable[[], Iterator[PlantedEvidence]] = _nothing
    """Reads the copies with planted noise, one of each shard, in order."""
    vocabulary: Callable[[], Vocabulary] = _nothing
    """Reads what the tokens of the corpus are."""

    def shards(self) -> Iterator[Evidence]:
        """Yield the shards in order."""
        return (self.read(number) for number in range(self.num_shards))


@dataclass(frozen=True)
class Fitting:
    """The whole corpus, for methods that have to see it before they judge a token of it."""

    source: Source
    settings: SelectionSettings


@dataclass(frozen=True)
class Judgement:
    """What a method says of the tokens of a shard."""

    score_T: Float64s
    attributes: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    """Further numbers over T that go on record, in single precision."""
    reason_T: Int64s | None = None
    """Which of the method's reasons speaks against the token; -1: none."""


@dataclass(frozen=True)
class Method:
    """One way of choosing tokens."""

    name: str
    source: str
    """The paper and the equation."""
    summary: str
    """What it keeps and why, in a sentence for users."""
    judge: Callable[[Evidence], Float64s | Judgement]
    """Returns score_T, or more than that. What it says of tokens that are no candidates is not
    used."""
    columns: Mapping[str, tuple[str, ...]]
    """The score columns it needs of each role; empty if it needs no model."""
    direction: Direction
    default_scope: Scope = "dataset"
    """Where the share is counted; the dataset of a training step is its batch."""
    default_keep: float = 0.6
    rounding: Rounding = "floor"
    draws: bool = False
    """Whether its numbers depend on the seed."""
    parameters: Parameters = NO_PARAMETERS
    configured: Callable[[Any], "Method"] | None = None
    """Returns the method with other parameters."""
    reasons: tuple[str, ...] = ()
    """Names of what may speak against a token."""
    fit: Callable[[Fitting], Fitted] | None = None
    """Looks at the whole corpus first; the result is in all evidence that follows."""
    embeds: bool = False
    """Whether its fit reads the base's input embeddings."""
    plants: bool = False
    """Whether its fit reads samples with planted noise."""
    unlearns: bool = False
    """Whether tokens that are not kept are trained on with a negative weight."""
    reweigh: Callable[[Float32s, float], Float32s] | None = None
    """Returns the weights of a training step's tokens from those of the selection and the share of
    the training that is done."""
    members: tuple["Method", ...] = ()
    """The methods that it brings together; empty: it stands alone."""

    @property
    def roles(self) -> tuple[str, ...]:
        """Return the models whose scores of the corpus it needs."""
        return tuple(role for role in self.columns if role != CURRENT)

    @property
    def compared_roles(self) -> list[tuple[str, str]]:
        """Return the pairs of roles whose scores are set against each other."""
        if self.members:
            return [pair for member in self.members for pair in member.compared_roles]
        return list(combinations(self.columns, 2))

    @property
    def planters(self) -> tuple["Method", ...]:
        """Return what of it learns from planted noise: itself, or some of its members."""
        return tuple(each for each in self.members or (self,) if each.plants)

    @property
    def keeps_share(self) -> bool:
        """Return whether the settings say how much it keeps."""
        return self.rule(SelectionSettings(method=self.name)).counts

    @property
    def has_scope(self) -> bool:
        """Return whether the settings say where a share is counted: its own, or its members'."""
        return self.keeps_share or any(member.has_scope for member in self.members)

    @property
    def each_step(self) -> bool:
        """Return whether it chooses at every step of a training, by what the model then says."""
        return CURRENT in self.columns

    @property
    def acts(self) -> str:
        """Return when it acts, for people: `once` is once a round where a reference evolves."""
        if self.each_step:
            return AT_EACH_STEP
        return "once, weighted anew at each step" if self.reweigh else "once"

    def rule(self, settings: SelectionSettings) -> Rule:
        """Return how the tokens are chosen by their numbers under these settings."""
        scope = settings.scope or self.default_scope
        keep = self.default_keep if settings.keep is None else settings.keep
        return Rule(self.direction, scope, keep, self.rounding)

    def judged(self, evidence: Evidence) -> Judgement:
        """Return what it says of the shard's candidates, of other tokens NaN and no reason."""
        found = self.judge(evidence)
        judgement = found if isinstance(found, Judgement) else Judgement(found)
        candidate_T = candidates(evidence)
        attributes = {
            name: np.where(candidate_T, values_T, np.float32(np.nan)).astype(np.float32)
            for name, values_T in judgement.attributes.items()
        }
        reason_T = judgement.reason_T
        if reason_T is not None:
            reason_T = np.where(candidate_T, reason_T, -1)
        return Judgement(np.where(candidate_T, judgement.score_T, np.nan), attributes, reason_T)

    def scored(self, evidence: Evidence) -> ScoredShard:
        """Return the shard as a selection sees it: a number for each candidate, else NaN."""
        shard = evidence.shard
        return ScoredShard(self.judged(evidence).score_T, shard.offsets_N1, shard.sources)


def candidates(evidence: Evidence) -> Bools:
    """Return candidate_T: the response tokens with a number in every column that there is."""
    candidate_T = evidence.shard.scorable_T
    for columns in evidence.scores.values():
        for values_T in columns.values():
            candidate_T &= ~np.isnan(values_T)
    return candidate_T
