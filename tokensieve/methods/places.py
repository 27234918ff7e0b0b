"""Several methods rank all tokens; a token's number is the mean of its places.

Shapes: T = tokens of a shard, K = members, H = numbers of one member that are held.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from tokensieve.corpus import Float64s
from tokensieve.methods.method import (
    Evidence,
    Fitted,
    Fitting,
    Judgement,
    Method,
    Source,
    candidates,
)
from tokensieve.methods.selector import fitted_to
from tokensieve.methods.voting import member_attributes

MAX_HELD = 1 << 22
"""How many numbers of each member are held in memory: 8 bytes each."""


@dataclass(frozen=True)
class Ranking:
    """The order of all candidates of the dataset by one member."""

    member: Method
    fitted: Fitted | None
    preference_H: Float64s
    """Of all candidates, or of some of them evenly spaced; ascending."""

    def judged(self, evidence: Evidence) -> Judgement:
        """Return what the member says."""
        return self.member.judged(replace(evidence, fitted=self.fitted))

    def preference(self, judgement: Judgement) -> Float64s:
        """Return preference_T: the higher, the sooner the member keeps the token."""
        return -judgement.score_T if self.member.direction == "low" else judgement.score_T

    def places(self, preference_T: Float64s) -> Float64s:
        """Return where numbers lie among all, 0 the worst and 1 the best; equals share a place.

        NaN has none.
        """
        num_worse_T = np.searchsorted(self.preference_H, preference_T, side="left")
        num_not_better_T = np.searchsorted(self.preference_H, preference_T, side="right")
        middle_T = (num_worse_T + num_not_better_T - 1) / 2
        place_T = (middle_T / max(len(self.preference_H) - 1, 1)).clip(0, 1)
        return np.where(np.isnan(preference_T), np.nan, place_T)


@dataclass(frozen=True)
class Rankings:
    """The orders of all members."""

    rankings: tuple[Ranking, ...]
    stride: int
    """One of so many candidates is held."""

    @property
    def notes(self) -> Mapping[str, Any]:
        """Return what the members have learned, and how exact the places are."""
        members = {
            each.member.name: {"fitted": dict(each.fitted.notes) if each.fitted else {}}
            for each in self.rankings
        }
        return {"stride": self.stride, **members}

    def judge(self, evidence: Evidence, weights: tuple[float, ...]) -> Judgement:
        """Return the weighted mean of the members' places of each token, and the places."""
        attributes: dict[str, Any] = {}
        score_T = np.zeros(len(evidence.shard.input_ids_T))
        for ranking, weight in zip(self.rankings, weights, strict=True):
            judgement = ranking.judged(evidence)
            place_T = ranking.places(ranking.preference(judgement))
            placed = replace(judgement, attributes={**judgement.attributes, "place": place_T})
            attributes |= member_attributes(ranking.member.name, placed)
            score_T += weight / sum(weights) * place_T
        return Judgement(score_T, attributes)


def fit_rankings(
    members: tuple[Method, ...], fitting: Fitting, max_held: int = MAX_HELD
) -> Rankings:
    """Return the members' orders of all candidates.

    Of more than max_held candidates every stride-th in a shard's order is held, and a place is off
    by at most the number of shards x stride / candidates.
    """
    source = fitting.source
    empty = np.zeros(0)
    rankings = [
        Ranking(member, fitted_to(source, member, fitting.settings), empty) for member in members
    ]
    num_candidates = sum(int(candidates(each).sum()) for each in source.shards())
    stride = max(1, -(-num_candidates // max_held))
    held = _held(rankings, source, stride)
    complete = zip(rankings, held, strict=True)
    return Rankings(tuple(replace(r, preference_H=np.sort(h)) for r, h in complete), stride)


def _held(rankings: list[Ranking], source: Source, stride: int) -> list[Float64s]:
    """Return every stride-th preference of each member, counted through the shards."""
    held: list[list[Float64s]] = [[np.zeros(0)] for _ in rankings]
    num_before = 0
    for evidence in source.shards():
        first = -num_before % stride
        for ranking, held_of_it in zip(rankings, held, strict=True):
            preference_T = ranking.preference(ranking.judged(evidence))
            held_of_it.append(np.sort(preference_T[~np.isnan(preference_T)])[first::stride])
        num_before += int(candidates(evidence).sum())
    return [np.concatenate(each) for each in held]
