"""How near a token's meaning is to what a corpus is about, by the base's input embeddings.

Shapes: V = vocabulary, H = width of the embeddings, T = tokens of a shard.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from tokensieve.corpus import Float32s, Float64s, Int64s
from tokensieve.methods.method import Evidence, Fitting
from tokensieve.methods.otsu import multi_otsu


@dataclass(frozen=True)
class Relevance:
    """The relevance of every token id of a corpus, and where its classes are cut."""

    relevance_V: Float64s
    """0 to 1, high where near; NaN where the id does not occur."""
    cuts: list[float]
    """Ascending; empty if there are not as many values as classes."""
    shares: list[float]
    """What part of the tokens lies at each cut or above."""

    @property
    def notes(self) -> Mapping[str, Any]:
        """Return the cuts and what lies above them."""
        return {"relevance_cuts": self.cuts, "relevance_shares": self.shares}

    def along(self, evidence: Evidence) -> Float64s:
        """Return relevance_T of a shard's tokens."""
        return self.relevance_V[evidence.shard.input_ids_T]


def fit_relevance(fitting: Fitting, num_classes: int, responses_only: bool) -> Relevance:
    """Return the relevance of the corpus's tokens, cut into classes by multi-Otsu.

    XTF (arXiv 2602.14536): 1 - the cosine distance of a token's embedding to the mean embedding of
    the corpus, the distance moved to 0 to 1. The mean is over all tokens of the corpus, prompts
    and template included; 0 and 1 are the nearest and the farthest id that occurs. The cuts are
    those of response tokens only, or of all.
    """
    embeddings_VH = fitting.source.embeddings()
    count_V = np.zeros(len(embeddings_VH), dtype=np.int64)
    num_cut_V = np.zeros_like(count_V)
    for evidence in fitting.source.shards():
        shard = evidence.shard
        cut_T = shard.scorable_T if responses_only else slice(None)
        count_V += np.bincount(shard.input_ids_T, minlength=len(count_V))
        num_cut_V += np.bincount(shard.input_ids_T[cut_T], minlength=len(count_V))
    relevance_V = relevance(embeddings_VH, count_V)
    cuts = multi_otsu(relevance_V, num_cut_V, num_classes)
    num_above = [int(num_cut_V[relevance_V >= cut].sum()) for cut in cuts]
    return Relevance(relevance_V, cuts, [num / int(num_cut_V.sum()) for num in num_above])


def relevance(embeddings_VH: Float32s, count_V: Int64s) -> Float64s:
    """Return relevance_V, given how often each id occurs; NaN where it does not.

    1 for all if all are equally far. An embedding of length 0 has the similarity 0.
    """
    distance_V = np.where(count_V > 0, 1 - _similarity(embeddings_VH, count_V), np.nan)
    if not count_V.any():
        return distance_V
    low, high = np.nanmin(distance_V), np.nanmax(distance_V)
    nearness_V: Float64s = 1 - (distance_V - low) / ((high - low) or 1.0)
    return nearness_V


def _similarity(embeddings_VH: Float32s, count_V: Int64s) -> Float64s:
    """Return each embedding's cosine with their mean, in double precision without a copy of all."""
    mean_H = np.einsum("v,vh->h", count_V.astype(np.float64), embeddings_VH)
    product_V = np.einsum("vh,h->v", embeddings_VH, mean_H)
    square_V = np.einsum("vh,vh->v", embeddings_VH, embeddings_VH, dtype=np.float64)
    length_V = np.sqrt(square_V) * np.linalg.norm(mean_H)
    similarity_V: Float64s = np.zeros_like(product_V)
    np.divide(product_V, length_V, out=similarity_V, where=length_V > 0)
    return similarity_V
