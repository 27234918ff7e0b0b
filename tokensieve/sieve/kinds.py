"""The kinds of noise that are planted, and how each is made of the corpus's own tokens.

garbled   a run of tokens gives way to pieces of other answers, to any tokens, or is shuffled
digit     one to three numbers give way to others of as many digits
foreign   a passage that has nothing to do with the question, the same in many answers
swapped   the answer of another question
"""

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from tokensieve.sieve.vocabulary import Tokens, Vocabulary

Kind = Literal["garbled", "digit", "foreign", "swapped"]
KINDS: tuple[Kind, ...] = get_args(Kind)
Labels = NDArray[np.int8]
"""0 for a token as it was, else 1 + the place of the noise's kind in KINDS."""

_MAX_GARBLED = 16
_MAX_PIECE = 4
_MAX_DIGITS = 3


@dataclass(frozen=True)
class Material:
    """What noise is made of."""

    vocabulary: Vocabulary
    answers: list[Tokens]
    """Contents of the answers that noise is planted into; none is empty."""
    passages: list[Tokens]
    """Passages of questions and answers."""


@dataclass(frozen=True)
class Noisy:
    """The content of an answer with noise in it."""

    tokens: Tokens
    is_noise: list[bool]


def possible(kind: Kind, answer: Tokens, material: Material) -> bool:
    """Return whether the answer can hold noise of this kind."""
    if kind == "garbled":
        return len(answer) >= 3
    if kind == "digit":
        return any(material.vocabulary.alike.get(token) for token in answer)
    if kind == "foreign":
        return bool(material.passages or material.vocabulary.sentences)
    return len(material.answers) >= 2


def garbled(answer: Tokens, material: Material, draw: random.Random) -> Noisy:
    """Return the answer with a run of other tokens in it, at most half of it."""
    length = _log_uniform(min(_MAX_GARBLED, len(answer) // 2), draw)
    start = draw.randint(0, len(answer) - length)
    old = answer[start : start + length]
    new = draw.choice((_pieces, _pieces, _anything, _shuffled))(old, material, draw)
    changed = [before != after for before, after in zip(old, new, strict=True)]
    return _with(answer, start, start + length, new, changed)


def digit(answer: Tokens, material: Material, draw: random.Random) -> Noisy:
    """Return the answer with some numbers changed."""
    alike = material.vocabulary.alike
    places = [place for place, token in enumerate(answer) if alike.get(token)]
    tokens, is_noise = list(answer), [False] * len(answer)
    for place in draw.sample(places, draw.randint(1, min(_MAX_DIGITS, len(places)))):
        tokens[place], is_noise[place] = draw.choice(alike[answer[place]]), True
    return Noisy(tokens, is_noise)


def foreign(answer: Tokens, material: Material, draw: random.Random) -> Noisy:
    """Return the answer with a passage between two of its sentences, or at one of its ends.

    The first passages come back in many answers, the last ones in few.
    """
    pools = [pool for pool in (material.passages, material.vocabulary.sentences) if pool]
    pool = draw.choice(pools)
    passage = pool[_log_uniform(len(pool), draw) - 1]
    ends = material.vocabulary.sentence_ends
    inside = [place + 1 for place, token in enumerate(answer) if token in ends]
    place = draw.choice([0, len(answer), *inside])
    return _with(answer, place, place, passage, [True] * len(passage))


def swapped(answer: Tokens, other: Tokens) -> Noisy:
    """Return the other answer; it is noise unless it is the same."""
    return Noisy(other, [other != answer] * len(other))


PLANTERS: dict[Kind, Callable[[Tokens, Material, random.Random], Noisy]] = {
    "garbled": garbled,
    "digit": digit,
    "foreign": foreign,
}
"""All kinds but `swapped`, for which more than one answer is needed at once."""


def _pieces(old: Tokens, material: Material, draw: random.Random) -> Tokens:
    new: Tokens = []
    while len(new) < len(old):
        answer = draw.choice(material.answers)
        start = draw.randrange(len(answer))
        new += answer[start : start + draw.randint(1, _MAX_PIECE)]
    return new[: len(old)]


def _anything(old: Tokens, material: Material, draw: random.Random) -> Tokens:
    return draw.choices(material.vocabulary.ordinary, k=len(old))


def _shuffled(old: Tokens, material: Material, draw: random.Random) -> Tokens:
    return draw.sample(old, len(old))


def _log_uniform(highest: int, draw: random.Random) -> int:
    """Return a number from 1 to `highest`, small ones more often."""
    return min(highest, int((highest + 1) ** draw.random()))


def _with(answer: Tokens, start: int, end: int, new: Tokens, noise: list[bool]) -> Noisy:
    is_noise = [False] * start + noise + [False] * (len(answer) - end)
    return Noisy([*answer[:start], *new, *answer[end:]], is_noise)
