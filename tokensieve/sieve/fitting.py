"""A sieve from a corpus and its noisy copy.

Shapes: D = tokens of the noisy copy with a score, C = tokens of the corpus.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from tokensieve.corpus import Bools, Float32s, Float64s, Int64s, Shard
from tokensieve.errors import InputError
from tokensieve.sieve.additive import Additive, fit_additive, quantile_knots
from tokensieve.sieve.kinds import KINDS, Labels
from tokensieve.sieve.rate import find_cut
from tokensieve.sieve.signals import SIGNALS, signals
from tokensieve.sieve.verdict import Rule, Sieve
from tokensieve.sieve.vocabulary import Vocabulary

_SUSPECTS = (0.3, 0.0)
"""Share of the corpus that the second and the third round of fits do not take for clean, whatever
the rules say: noise that fills a corpus and looks like none planted passes for clean in the first.
"""
_MIN_ANSWERS = 8
_FIT_ROWS = 20_000
"""Tokens of each class in a fit."""
_CORPUS_ROWS = 5
"""Tokens of the corpus for each of its noisy copy."""
_CLASS_WEIGHT = 4000.0
"""Of the noise and of the clean tokens in a fit: tokens of one answer do not speak for themselves,
so there are not as many witnesses as rows."""


@dataclass(frozen=True)
class Lesson:
    """A shard, the noisy copy of some of its samples, and what the reference says of both."""

    shard: Shard
    nll_T: Float32s
    """Nats, NaN where there is no score."""
    planted: Shard
    planted_nll_P: Float32s
    label_P: Labels


@dataclass(frozen=True)
class _Rows:
    """The tokens that a sieve learns from."""

    planted_SD: Float64s
    label_D: Labels
    answer_D: Int64s
    """Which of the copied samples the token belongs to."""
    corpus_SC: Float64s


Clean = tuple[Bools, Bools]
"""clean_D, clean_C: which tokens of copy and corpus are taken for clean."""


def fit_sieve(lessons: Iterable[Lesson], vocabulary: Vocabulary) -> Sieve:
    """Return a sieve with a rule for each kind of noise that at least 8 answers hold.

    The corpus's own samples serve as clean ones, though they hold noise. So there are three rounds:
    the first takes all for clean, the second the 70 % that look least like noise, the third what
    the rules of the second call clean. Raises InputError if there is too little for any rule.
    """
    rows = _gathered(lessons, vocabulary)
    kinds = [kind for kind in range(len(KINDS)) if _num_answers(rows, kind) >= _MIN_ANSWERS]
    if not kinds:
        raise InputError(
            f"corpus: noise was planted into {len(np.unique(rows.answer_D))} answers, and a sieve "
            f"needs {_MIN_ANSWERS} of one kind. Use a method that learns nothing from the corpus."
        )
    knots = quantile_knots(rows.corpus_SC)
    everything = (np.ones_like(rows.label_D, bool), np.ones(rows.corpus_SC.shape[1], bool))
    rules = [_fitted(rows, kind, knots, everything) for kind in kinds]
    for suspects in _SUSPECTS:
        clean = _called_clean(rules, rows, suspects)
        rules = [_fitted(rows, kind, knots, clean) for kind in kinds]
    return Sieve(tuple(rules))


def _gathered(lessons: Iterable[Lesson], vocabulary: Vocabulary) -> _Rows:
    nothing = np.zeros((len(SIGNALS), 0))
    planted, corpus = [nothing], [nothing]
    labels, answers = [np.zeros(0, np.int8)], [np.zeros(0, np.int64)]
    num_answers = 0
    for lesson in lessons:
        token_D, planted_SD = signals(
            lesson.planted, lesson.planted_nll_P, vocabulary, among=lesson.shard
        )
        _, corpus_SC = signals(lesson.shard, lesson.nll_T, vocabulary)
        planted.append(planted_SD)
        labels.append(lesson.label_P[token_D])
        answers.append(num_answers + _sample(lesson.planted)[token_D])
        corpus.append(_thinned(corpus_SC, _CORPUS_ROWS * len(token_D)))
        num_answers += lesson.planted.num_samples
    return _Rows(
        planted_SD=np.concatenate(planted, axis=1),
        label_D=np.concatenate(labels),
        answer_D=np.concatenate(answers),
        corpus_SC=np.concatenate(corpus, axis=1),
    )


def _sample(shard: Shard) -> Int64s:
    return np.repeat(np.arange(shard.num_samples), shard.lengths_N)


def _num_answers(rows: _Rows, kind: int) -> int:
    return len(np.unique(rows.answer_D[rows.label_D == 1 + kind]))


def _called_clean(rules: Sequence[Rule], rows: _Rows, suspects: float) -> Clean:
    """Return the tokens that no rule calls noise, without so many of the likeliest."""
    log_odds_D, log_odds_C = (
        np.max([_scores(rule.model, each) - rule.cut.threshold for rule in rules], axis=0)
        for each in (rows.planted_SD, rows.corpus_SC)
    )
    limit = min(0.0, float(np.quantile(log_odds_C, 1 - suspects)))
    return log_odds_D < limit, log_odds_C < limit


def _scores(model: Additive, signals_SC: Float64s) -> Float64s:
    return model.log_odds(model.contributions(signals_SC))


def _fitted(rows: _Rows, kind: int, knots: tuple[Float64s, ...], clean: Clean) -> Rule:
    """Return the rule for one kind, from its noise and from what is clean in copy and corpus."""
    clean_D, clean_C = clean
    noise_SD = rows.planted_SD[:, rows.label_D == 1 + kind]
    untouched_SD = rows.planted_SD[:, (rows.label_D == 0) & clean_D]
    clean_SR = np.concatenate([untouched_SD, rows.corpus_SC[:, clean_C]], axis=1)
    classes = [_thinned(each, _FIT_ROWS) for each in (noise_SD, clean_SR)]
    model = fit_additive(
        np.concatenate(classes, axis=1),
        np.repeat([True, False], [each.shape[1] for each in classes]),
        np.concatenate([np.full(each.shape[1], _CLASS_WEIGHT / each.shape[1]) for each in classes]),
        knots,
    )
    cut = find_cut(_scores(model, noise_SD), _scores(model, rows.corpus_SC))
    return Rule(KINDS[kind], model, model.contributions(rows.corpus_SC).mean(axis=1), cut)


def _thinned(signals_SC: Float64s, max_tokens: int) -> Float64s:
    """Return at most so many of the tokens, evenly spread."""
    return signals_SC[:, :: max(1, -(-signals_SC.shape[1] // max(1, max_tokens)))]
