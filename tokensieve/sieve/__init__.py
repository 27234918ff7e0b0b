"""A rule that learns what noise looks like from noise planted into a copy of the corpus itself.

    vocabulary.py  what must be known of tokens: digits, ends of sentences, sentences from elsewhere
    planting.py    a copy of some samples, with noise of known kind and place
    kinds.py       how each kind of noise is made
    repetition.py  what samples have in common: passages, and words of questions and answers
    signals.py     numbers of each token that may betray noise
    additive.py    log-odds as a sum over signals, each of which can only speak one way
    rate.py        how much noise there is, without labels
    verdict.py     the sieve: one additive model and one threshold for each kind
    fitting.py     a sieve from a corpus and its noisy copy

Shapes: T = tokens of a shard, P = of its noisy copy, C = tokens with a score, S = signals,
K = knots of a signal, V = vocabulary, R = rows of a fit.
"""

from tokensieve.sieve.fitting import Lesson, fit_sieve
from tokensieve.sieve.kinds import KINDS, Kind, Labels
from tokensieve.sieve.planting import plant, planted_share
from tokensieve.sieve.signals import SIGNALS, Signal
from tokensieve.sieve.verdict import Sieve, Verdict
from tokensieve.sieve.vocabulary import Vocabulary

__all__ = [
    "KINDS",
    "SIGNALS",
    "Kind",
    "Labels",
    "Lesson",
    "Sieve",
    "Signal",
    "Verdict",
    "Vocabulary",
    "fit_sieve",
    "plant",
    "planted_share",
]
