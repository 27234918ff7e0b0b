"""What planting and signals must know of tokens, read from the corpus's vocabulary table."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tokensieve.corpus import Bools

Tokens = list[int]

_SENTENCES = (
    "Sign in to leave a comment or to share this page with your friends.",
    "All rights reserved. No part of this text may be copied without permission.",
    "Sorry, something went wrong on our side. Try again later.",
    "The weather tomorrow will be mild, with a light wind from the west.",
    "Read more about this topic in the next chapter.",
    "Note: prices and dates can change at any time without notice.",
    "Sure! Here is a draft that you can change as you like.",
    "This page was last edited by the support team on Monday.",
)
_ENDS_OF_SENTENCES = (".", "!", "?", ":", "\n")


@dataclass(frozen=True)
class Vocabulary:
    """The tokens of one tokenizer, by what they can serve for."""

    is_number_V: Bools
    """True where the token is digits, with or without a space before them."""
    special: frozenset[int]
    """Ids of tokens that are not text."""
    ordinary: Tokens
    """All other ids."""
    alike: Mapping[int, Tokens]
    """For each number: the others of as many digits that begin alike."""
    sentence_ends: frozenset[int]
    """Ids of tokens with which a sentence or line ends."""
    sentences: list[Tokens]
    """Sentences that no answer needs, as far as these tokens can write them."""

    @classmethod
    def of(cls, texts_V: Sequence[str], special_V: Sequence[bool]) -> "Vocabulary":
        """Return it from the columns `text` and `special` of a table in VOCABULARY_SCHEMA."""
        special = frozenset(id for id, special in enumerate(special_V) if special)
        ordinary = [id for id in range(len(texts_V)) if id not in special]
        numbers = [id for id in ordinary if texts_V[id].strip().isdecimal()]
        is_number_V = np.zeros(len(texts_V), dtype=bool)
        is_number_V[numbers] = True
        ids = {texts_V[id]: id for id in reversed(ordinary)}
        ends = (id for id in ordinary if texts_V[id].strip(" ").endswith(_ENDS_OF_SENTENCES))
        return cls(
            is_number_V=is_number_V,
            special=special,
            ordinary=ordinary,
            alike=_alike(texts_V, numbers),
            sentence_ends=frozenset(ends),
            sentences=[tokens for text in _SENTENCES if (tokens := _spelled(text, ids))],
        )

    def content(self, tokens: Tokens) -> Tokens:
        """Return the tokens of an answer that come before its first special one."""
        ends = (place for place, token in enumerate(tokens) if token in self.special)
        return tokens[: next(ends, len(tokens))]


def _alike(texts_V: Sequence[str], numbers: Tokens) -> dict[int, Tokens]:
    by_form: dict[tuple[str, int], Tokens] = defaultdict(list)
    for id in numbers:
        by_form[_form(texts_V[id])].append(id)
    return {id: [other for other in by_form[_form(texts_V[id])] if other != id] for id in numbers}


def _form(number: str) -> tuple[str, int]:
    """Return the white space before a number, and how many digits it has."""
    digits = number.lstrip()
    return number[: len(number) - len(digits)], len(digits.rstrip())


def _spelled(text: str, ids: Mapping[str, int]) -> Tokens | None:
    """Return the text in tokens, always the longest that fits; None if there are not enough."""
    longest = max(map(len, ids), default=0)
    tokens = []
    while text:
        lengths = (n for n in range(min(longest, len(text)), 0, -1) if text[:n] in ids)
        if (length := next(lengths, None)) is None:
            return None
        tokens.append(ids[text[:length]])
        text = text[length:]
    return tokens
