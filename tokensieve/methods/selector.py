"""A method made ready for one corpus: fitted to it, with the thresholds of its selection."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from tokensieve.methods.full import one
from tokensieve.methods.method import (
    CURRENT,
    Evidence,
    Fitted,
    Fitting,
    Method,
    Source,
)
from tokensieve.ranking import Rule, ScoredShard
from tokensieve.selection import Decision, select_shard
from tokensieve.settings import SelectionSettings
from tokensieve.thresholds import Threshold, find_thresholds


@dataclass(frozen=True)
class Selector:
    """Decides on the tokens of a corpus, shard by shard in any order."""

    method: Method
    rule: Rule
    fitted: Fitted | None
    thresholds: Mapping[str, Threshold]
    unlearned: Mapping[str, Threshold]
    """Where the tokens end that are kept or unlearned; empty unless the method unlearns."""

    @classmethod
    def frozen(
        cls, method: Method, settings: SelectionSettings, thresholds: Mapping[str, Threshold]
    ) -> "Selector":
        """Return the method with thresholds of another corpus; it must not be one that fits."""
        assert method.fit is None, f"{method.name}: would have to fit anew"
        assert not method.unlearns, f"{method.name}: has thresholds of a second kind"
        return cls(method, method.rule(settings), None, thresholds, {})

    @classmethod
    def of(cls, method: Method, settings: SelectionSettings, source: Source) -> "Selector":
        """Return the method fitted to the corpus; reads it as often as that takes."""
        fitted = fitted_to(source, method, settings)
        rule = method.rule(settings)

        def read(shard: int) -> ScoredShard:
            return method.scored(replace(source.read(shard), fitted=fitted))

        thresholds = find_thresholds(read, source.num_shards, rule)
        unlearned: dict[str, Threshold] = {}
        if method.unlearns:
            unlearned = find_thresholds(read, source.num_shards, replace(rule, with_rest=True))
        return cls(method, rule, fitted, thresholds, unlearned)

    def decide(self, evidence: Evidence) -> Decision:
        """Return what is decided on the tokens of a shard."""
        judgement = self.method.judged(replace(evidence, fitted=self.fitted))
        shard, number = evidence.shard, evidence.number
        scored = ScoredShard(judgement.score_T, shard.offsets_N1, shard.sources)
        weight_T = select_shard(scored, number, self.rule, dict(self.thresholds))
        if self.method.unlearns:
            with_rest = replace(self.rule, with_rest=True)
            either_T = select_shard(scored, number, with_rest, dict(self.unlearned))
            weight_T = 2 * weight_T - either_T
        return Decision(
            judgement.score_T,
            weight_T,
            judgement.attributes,
            judgement.reason_T,
            self.method.reasons,
        )

    @property
    def notes(self) -> dict[str, Any]:
        """Return what of the selection goes on record beside its tables, as plain JSON."""
        return dict(self.fitted.notes) if self.fitted else {}


def deferred(method: Method) -> Method:
    """Return what a selection does for a method that chooses at every step of a training: every
    token that has the scores it will need is left for it to decide on.
    """
    columns = {role: names for role, names in method.columns.items() if role != CURRENT}
    return Method(
        name=method.name,
        source=method.source,
        summary=method.summary,
        judge=one,
        columns=columns,
        direction="test",
    )


def fitted_to(source: Source, method: Method, settings: SelectionSettings) -> Fitted | None:
    """Return what the method learns of the corpus; None if it learns nothing."""
    return None if method.fit is None else method.fit(Fitting(source, settings))
