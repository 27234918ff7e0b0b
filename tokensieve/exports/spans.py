"""Samples as spans of text, for trainers that tokenise by themselves.

A span is trained on or not, as a whole, and begins and ends between two characters. Where a
character is made of several tokens of which one is trained on, all of them are: they are widened.
What the trainer makes of the spans, each tokenised by itself, has to be the sample's tokens again.

Shapes: T = the tokens of one sample.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise

import numpy as np
from transformers import PreTrainedTokenizerFast

from tokensieve.corpus import Bools, Int64s
from tokensieve.exports.rows import Rows


@dataclass(frozen=True)
class Span:
    """Some neighbouring characters of a sample."""

    text: str
    is_response: bool
    is_trained: bool


@dataclass(frozen=True)
class Spans:
    """A sample as text."""

    spans: tuple[Span, ...]
    trained_T: Bools
    """Which of its tokens are trained on."""
    num_widened: int
    """How many of them the selection had dropped."""

    @property
    def pieces(self) -> list[str]:
        """Return the texts that are tokenised by themselves: spans of one kind are joined."""
        kinds = groupby(self.spans, key=lambda span: span.is_trained)
        return ["".join(span.text for span in spans) for _, spans in kinds]


class Speller:
    """Spells samples with the tokenizer that made them."""

    def __init__(self, tokenizer: PreTrainedTokenizerFast) -> None:
        """Take the tokenizer; nothing is cut off or filled up by it."""
        self._tokenizer = tokenizer
        self._backend = tokenizer.backend_tokenizer
        self._backend.no_truncation()
        self._backend.no_padding()

    def spelt(self, rows: Rows) -> Iterator[Spans | None]:
        """Yield each sample as spans, or None if tokenising these would give other tokens."""
        shard = rows.shard
        ids = [shard.input_ids_T[span].tolist() for span in shard.slices()]
        texts = self._tokenizer.batch_decode(
            ids, skip_special_tokens=False, clean_up_tokenization_spaces=False
        )
        found = self._backend.encode_batch(texts, add_special_tokens=False)
        for n, span in enumerate(shard.slices()):
            if found[n].ids != ids[n]:
                yield None
                continue
            offsets_T2 = np.array(found[n].offsets, dtype=np.int64).reshape(-1, 2)
            response_T, trained_T = shard.response_T[span], rows.trained_T[span]
            spans = cut(texts[n], offsets_T2, response_T, trained_T)
            yield spans if self._ids(spans.pieces) == ids[n] else None

    def _ids(self, pieces: Sequence[str]) -> list[int]:
        encoded = self._backend.encode_batch(list(pieces), add_special_tokens=False)
        return [id for each in encoded for id in each.ids]


def cut(text: str, offsets_T2: Int64s, response_T: Bools, trained_T: Bools) -> Spans:
    """Return the text as the fewest spans; `offsets_T2`: first character of each token, and the one
    after its last.
    """
    character_T = _characters(offsets_T2)
    widened_T = _any_of(trained_T, character_T)
    answered_T = _any_of(response_T, character_T)
    kind_T = 2 * answered_T + widened_T
    edges = [0, *(np.flatnonzero(kind_T[1:] != kind_T[:-1]) + 1), len(kind_T)]
    starts = [0, *offsets_T2[edges[1:-1], 0], len(text)]
    spans = tuple(
        Span(text[start:end], bool(answered_T[token]), bool(widened_T[token]))
        for token, (start, end) in zip(edges[:-1], pairwise(starts), strict=True)
    )
    return Spans(spans, widened_T, int(np.count_nonzero(widened_T & ~trained_T)))


def _characters(offsets_T2: Int64s) -> Int64s:
    """Return a number for each token; tokens that share a character have the same."""
    begins_T = np.ones(len(offsets_T2), dtype=bool)
    begins_T[1:] = offsets_T2[1:, 0] >= offsets_T2[:-1, 1]
    return np.cumsum(begins_T) - 1


def _any_of(chosen_T: Bools, group_T: Int64s) -> Bools:
    """Return which tokens are in a group of which one is chosen."""
    any_of: Bools = np.bincount(group_T, weights=chosen_T)[group_T] > 0
    return any_of
