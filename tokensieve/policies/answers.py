"""The text of the answers of a shard, and which tokens hold which of its characters.

An answer is here a run of response tokens with nothing between them. Bytes that are no UTF-8,
because the sample was cut or is what a model wrote, are one character each: lone surrogates, which
no text has.

Shapes: T = tokens of the shard, K = its response tokens, R = answers, C = characters of all of them
one after another, M = matches.
"""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike

from tokensieve.corpus import Bools, Int64s, Shard
from tokensieve.policies.writing import Writing

Span = tuple[int, int]


class Answers:
    """The answers of one shard as text."""

    def __init__(self, shard: Shard, writing: Writing) -> None:
        """Write the response tokens down."""
        self._num_tokens = len(shard.input_ids_T)
        self._token_K = np.flatnonzero(shard.response_T)
        self._id_K = shard.input_ids_T[self._token_K]
        self._first_R = _first_of_runs(self._token_K, shard.offsets_N1)
        self._writing = writing
        self.texts = self._texts()
        """Of each answer."""

    def closing(self) -> Bools:
        """Return which tokens are special and have nothing but such and white space after them in
        their answer.
        """
        is_special_K = self._writing.is_special_V[self._id_K]
        is_text_K = ~is_special_K & ~self._writing.is_blank_V[self._id_K]
        place_K = np.arange(len(self._token_K))
        last_text_R = np.maximum.reduceat(np.where(is_text_K, place_K, -1), self._first_R)
        length_R = np.diff(np.append(self._first_R, len(place_K)))
        return self._over_tokens(is_special_K & (place_K > np.repeat(last_text_R, length_R)))

    def holding(self, spans: Sequence[Sequence[Span]]) -> Bools:
        """Return which tokens hold a character, or a part of one, of these spans of each text.

        Empty spans hold nothing.
        """
        flat = [edge for each in spans for span in each for edge in span]
        edge_M2 = np.array(flat, dtype=np.int64).reshape(-1, 2)
        before_R1 = _edges([len(text) for text in self.texts])
        edge_M2 += np.repeat(before_R1[:-1], [len(each) for each in spans])[:, None]
        start_M, stop_M = self._bytes_before_characters()[edge_M2].T
        byte_K1 = _edges(self._writing.length_V[self._id_K])
        begins_M = np.searchsorted(byte_K1[1:], start_M, side="right")
        ends_M = np.searchsorted(byte_K1[:-1], stop_M, side="left")
        is_empty_M = start_M == stop_M
        depth_K1 = np.zeros(len(byte_K1), dtype=np.int64)
        np.add.at(depth_K1, begins_M[~is_empty_M], 1)
        np.add.at(depth_K1, ends_M[~is_empty_M], -1)
        return self._over_tokens((np.cumsum(depth_K1)[:-1] > 0) & (np.diff(byte_K1) > 0))

    def _texts(self) -> list[str]:
        pieces_V = self._writing.pieces_V
        pieces = [pieces_V[id] for id in self._id_K.tolist()]
        edges = [*self._first_R.tolist(), len(pieces)]
        return [
            b"".join(pieces[first:end]).decode("utf-8", "surrogateescape")
            for first, end in pairwise(edges)
        ]

    def _bytes_before_characters(self) -> Int64s:
        """Return the bytes of all answers before each of their characters, and all of them."""
        text = "".join(self.texts).encode("utf-32-le", "surrogatepass")
        code_C = np.frombuffer(text, dtype=np.uint32)
        length_C = 1 + (code_C >= 0x80) + (code_C >= 0x800) + (code_C >= 0x10000)
        length_C[(code_C >= 0xDC80) & (code_C <= 0xDCFF)] = 1  # a byte by itself
        return _edges(length_C)

    def _over_tokens(self, chosen_K: Bools) -> Bools:
        chosen_T = np.zeros(self._num_tokens, dtype=bool)
        chosen_T[self._token_K[chosen_K]] = True
        return chosen_T


def _edges(lengths: ArrayLike) -> Int64s:
    """Return where each of the pieces that follow one another begins, and the end."""
    return np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)


def _first_of_runs(token_K: Int64s, offsets_N1: Int64s) -> Int64s:
    """Return which tokens do not follow one of the same sample."""
    sample_K = np.searchsorted(offsets_N1, token_K, side="right")
    is_first_K = np.ones(len(token_K), dtype=bool)
    is_first_K[1:] = (np.diff(token_K) > 1) | (np.diff(sample_K) > 0)
    return np.flatnonzero(is_first_K)
