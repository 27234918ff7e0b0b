"""The sieve: what it says of a token, which kind of noise it suspects, and which signal decided."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from tokensieve.corpus import Float32s, Float64s, Int64s, Shard
from tokensieve.sieve.additive import Additive
from tokensieve.sieve.kinds import KINDS, Kind, Labels
from tokensieve.sieve.rate import Cut
from tokensieve.sieve.signals import SIGNALS, signals
from tokensieve.sieve.vocabulary import Vocabulary


@dataclass(frozen=True)
class Rule:
    """How noise of one kind is recognised."""

    kind: Kind
    model: Additive
    usual_S: Float64s
    """What each signal adds on average over the corpus, in nats."""
    cut: Cut


@dataclass(frozen=True)
class Verdict:
    """What a sieve says of the tokens of a shard."""

    log_odds_T: Float64s
    """Nats, of the kind of noise that the token resembles most: noise from 0 on, where noise and
    clean tokens are estimated to be as many. NaN where there is no score."""
    kind_T: Labels
    """Place of that kind in KINDS; -1 where there is no score."""
    signal_T: Labels
    """Place in SIGNALS of the signal that decided: that which adds most above its average over the
    corpus if the token is noise, that which lacks most if it is not. -1 where there is no score."""


@dataclass(frozen=True)
class Sieve:
    """A rule for each kind of noise."""

    rules: tuple[Rule, ...]

    @property
    def rates(self) -> dict[Kind, float]:
        """Return the largest share of the corpus's response tokens that each kind can be."""
        return {rule.kind: rule.cut.rate for rule in self.rules}

    def judge(self, shard: Shard, nll_T: Float32s, vocabulary: Vocabulary) -> Verdict:
        """Return the verdict on each token; nll_T are nats of the reference, NaN where none."""
        token_C, signals_SC = signals(shard, nll_T, vocabulary)
        log_odds_T = np.full(len(nll_T), np.nan)
        kind_T, signal_T = np.full((2, len(nll_T)), -1, dtype=np.int8)
        log_odds_T[token_C] = -np.inf
        for rule in self.rules:
            log_odds_C, signal_C = _judged(rule, signals_SC)
            more_C = log_odds_C > log_odds_T[token_C]
            token = token_C[more_C]
            log_odds_T[token], signal_T[token] = log_odds_C[more_C], signal_C[more_C]
            kind_T[token] = KINDS.index(rule.kind)
        return Verdict(log_odds_T, kind_T, signal_T)

    def to_dict(self) -> dict[str, Any]:
        """Return the sieve as plain values, for JSON; `from_dict` returns an equal sieve."""
        return {"rules": [_plain(rule) for rule in self.rules]}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Sieve":
        """Return the sieve of what `to_dict` returned."""
        return cls(tuple(_rule(each) for each in values["rules"]))


def _judged(rule: Rule, signals_SC: Float64s) -> tuple[Float64s, Int64s]:
    """Return each token's log-odds by this rule, and the signal that decided."""
    added_SC = rule.model.contributions(signals_SC)
    log_odds_C = rule.model.log_odds(added_SC) - rule.cut.threshold
    unusual_SC = added_SC - rule.usual_S[:, None]
    signal_C = np.where(log_odds_C >= 0, unusual_SC.argmax(axis=0), unusual_SC.argmin(axis=0))
    return log_odds_C, signal_C


def _plain(rule: Rule) -> dict[str, Any]:
    curves = zip(SIGNALS, rule.model.knots, rule.model.heights, rule.usual_S, strict=True)
    return {
        "kind": rule.kind,
        "rate": rule.cut.rate,
        "threshold": rule.cut.threshold,
        "intercept": rule.model.intercept,
        "curves": {
            signal.name: {
                "knots": knots.tolist(),
                "heights": heights.tolist(),
                "usual": float(usual),
            }
            for signal, knots, heights, usual in curves
        },
    }


def _rule(values: Mapping[str, Any]) -> Rule:
    curves = [values["curves"][signal.name] for signal in SIGNALS]
    model = Additive(
        knots=tuple(np.array(curve["knots"]) for curve in curves),
        heights=tuple(np.array(curve["heights"]) for curve in curves),
        intercept=values["intercept"],
    )
    usual_S = np.array([curve["usual"] for curve in curves])
    return Rule(values["kind"], model, usual_S, Cut(values["rate"], values["threshold"]))
