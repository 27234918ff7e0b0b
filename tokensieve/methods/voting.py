"""Several methods decide each by its own rule; a token is kept by all of them, or by any.

Shapes: T = tokens of a shard, K = members.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from tokensieve.methods.method import Evidence, Fitting, Judgement, Method
from tokensieve.methods.reasons import joined_codes
from tokensieve.methods.selector import Selector
from tokensieve.selection import Decision


@dataclass(frozen=True)
class Voters:
    """The members, each made ready for the corpus."""

    selectors: tuple[Selector, ...]

    @property
    def notes(self) -> Mapping[str, Any]:
        """Return what each has learned, and where it ends."""
        return {selector.method.name: _note(selector) for selector in self.selectors}

    def judge(self, evidence: Evidence, num_needed: int) -> Judgement:
        """Return how many members keep the token beyond num_needed - 1, and which do not."""
        decisions = [selector.decide(evidence) for selector in self.selectors]
        against = [decision.weight_T <= 0 for decision in decisions]
        num_for_T = len(against) - np.sum(against, axis=0)
        attributes: dict[str, Any] = {}
        for selector, decision in zip(self.selectors, decisions, strict=True):
            attributes |= member_attributes(selector.method.name, decision)
        score_T = (num_for_T - num_needed + 1).astype(np.float64)
        return Judgement(score_T, attributes, joined_codes(against))


def _note(selector: Selector) -> dict[str, Any]:
    thresholds = {name: asdict(each) for name, each in selector.thresholds.items()}
    return {"thresholds": thresholds, "fitted": selector.notes}


def member_attributes(name: str, said: Decision | Judgement) -> dict[str, Any]:
    """Return what a member says of tokens, its score included, by names that tell the member."""
    values = {"score": said.score_T, **said.attributes}
    return {f"{name}_{key}".replace("-", "_"): values_T for key, values_T in values.items()}


def fit_voters(members: tuple[Method, ...], keep: float, fitting: Fitting) -> Voters:
    """Return the members made ready, each to keep this share where it keeps one."""
    source = fitting.source
    settings = fitting.settings.model_copy(update={"keep": keep})
    return Voters(tuple(Selector.of(member, settings, source) for member in members))
