"""Sieve: what looks like noise that was planted into a copy of the corpus itself.

One pass of the reference, and another over a copy of half of the samples at most. No labels, no
second model: the reference's surprise, and what answers share with their questions and with other
answers, are weighed by how well they betray the planted noise.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any, Literal

import numpy as np

from tokensieve.methods.method import Evidence, Fitting, Judgement, Method, Parameters, Source
from tokensieve.sieve import KINDS, SIGNALS, Lesson, Sieve, Vocabulary, fit_sieve

_REASONS = tuple(f"{kind}: {signal.name}" for kind, signal in product(KINDS, SIGNALS))


class SieveParameters(Parameters):
    """How a sieve decides."""

    rule: Literal["noise", "share"] = "noise"
    """`noise`: drop what is more likely noise than not; `share`: keep the share that is least
    likely noise."""


@dataclass(frozen=True)
class _Fitted:
    """A sieve, and what it has to know of tokens."""

    sieve: Sieve
    vocabulary: Vocabulary

    @property
    def notes(self) -> Mapping[str, Any]:
        """Return the rates of noise by kind, and the rules."""
        return {"rates": self.sieve.rates, "sieve": self.sieve.to_dict()}


def sieve(parameters: SieveParameters) -> Method:
    """Return the method with these parameters."""
    share = parameters.rule == "share"
    return Method(
        name="sieve",
        source="tokensieve; rates after Scott, AISTATS 2015, and Garg et al., NeurIPS 2021",
        summary="drops tokens that look like noise planted into a copy of the corpus itself",
        judge=_judge,
        columns={"reference": ("nll",)},
        direction="high" if share else "test",
        parameters=parameters,
        configured=sieve,
        reasons=_REASONS,
        fit=_fit,
        plants=True,
    )


def _fit(fitting: Fitting) -> _Fitted:
    vocabulary = fitting.source.vocabulary()
    return _Fitted(fit_sieve(_lessons(fitting.source), vocabulary), vocabulary)


def _lessons(source: Source) -> Iterator[Lesson]:
    """Yield each shard with its noisy copy."""
    for whole, planted in zip(source.shards(), source.planted(), strict=True):
        copy = planted.evidence
        yield Lesson(
            shard=whole.shard,
            nll_T=whole.scores["reference"]["nll"],
            planted=copy.shard,
            planted_nll_P=copy.scores["reference"]["nll"],
            label_P=planted.label_T,
        )


def _judge(evidence: Evidence) -> Judgement:
    """Return minus the log-odds of noise in nats, and the kind and signal that decided."""
    fitted: _Fitted = evidence.fitted
    nll_T = evidence.scores["reference"]["nll"]
    verdict = fitted.sieve.judge(evidence.shard, nll_T, fitted.vocabulary)
    reason_T = verdict.kind_T.astype(np.int64) * len(SIGNALS) + verdict.signal_T
    reason_T = np.where(verdict.kind_T < 0, -1, reason_T)
    return Judgement(-verdict.log_odds_T, {"noise": verdict.log_odds_T}, reason_T)


SIEVE = sieve(SieveParameters())
