"""How much noise of a kind a corpus holds, and where to cut, from scores alone.

Shapes: P = planted noise tokens, C = tokens of the corpus.
"""

from dataclasses import dataclass

import numpy as np

from tokensieve.corpus import Float64s

_EASY = 0.5
"""Share of the planted noise that has to lie above where the rate is read."""


@dataclass(frozen=True)
class Cut:
    """Where noise of a kind begins."""

    rate: float
    """Largest share of the corpus that can be this noise."""
    threshold: float
    """From this score on, a token is noise."""


def find_cut(planted_P: Float64s, corpus_C: Float64s) -> Cut:
    """Return the cut that loses the fewest tokens, noise kept and clean tokens dropped alike.

    At every score, the corpus has at least rate x the planted share above it. So the rate is at
    most the smallest ratio of the two shares (Scott, AISTATS 2015; Garg et al., NeurIPS 2021), here
    over cuts that find at least half of the planted noise. Clean tokens in that region make it
    too high, real noise that scores lower than planted noise makes it too low. A classifier's
    outputs alone would not do: its clean examples come from the corpus and hold its noise.
    """
    score_P = np.sort(planted_P)[::-1]
    found_P = 1 - np.searchsorted(score_P[::-1], score_P, side="left") / len(score_P)
    corpus_C = np.sort(corpus_C)
    dropped_P = 1 - np.searchsorted(corpus_C, score_P, side="left") / len(corpus_C)
    rate = float((dropped_P / found_P)[found_P >= _EASY].min())
    best = int(np.argmax(2 * rate * found_P - dropped_P))
    return Cut(rate, float(score_P[best]))
