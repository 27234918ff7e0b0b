"""A copy of some samples of a shard, with noise of known kind and place in it.

The models score the copy like any shard. Nothing of it reaches a selection or a training.
"""

import random
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tokensieve.corpus import Bools, Int16s, Int32s, Shard
from tokensieve.sieve.kinds import (
    KINDS,
    PLANTERS,
    Kind,
    Labels,
    Material,
    Noisy,
    possible,
    swapped,
)
from tokensieve.sieve.vocabulary import Tokens, Vocabulary

SHARE = 0.5
"""Of a corpus's samples, at most: noise is planted into their copies."""
MAX_TOKENS = 150_000
"""About so many tokens a copy has at most."""
_ANSWERS_OF_A_PASSAGE = 16
_PASSAGE_LENGTHS = (6, 32)
_HEADER = 8
"""Tokens at the end of a question that may belong to the template."""


@dataclass(frozen=True)
class _Answer:
    """The answer of a sample that noise is planted into."""

    sample: int
    start: int
    """Where in T it begins."""
    content: Tokens
    """Without the special token that ends it, and what follows that."""
    draw: random.Random


@dataclass(frozen=True)
class _Copy:
    """A sample with noise in it."""

    input_ids_P: Int32s
    response_P: Bools
    turn_P: Int16s
    label_P: Labels


def planted_share(num_tokens: int) -> float:
    """Return the share of a corpus's samples to plant noise into: half of a small corpus.

    Of a large one, as many as hold 150,000 tokens: the copy has to be scored too.
    """
    return min(SHARE, MAX_TOKENS / max(num_tokens, 1))


def plant(shard: Shard, vocabulary: Vocabulary, share: float, seed: int) -> tuple[Shard, Labels]:
    """Return a copy of about `share` of the samples with noise in one answer of each, and label_P.

    A label is 0 where the token is as it was, else 1 + the place of the noise's kind in KINDS. Each
    kind that an answer allows is equally likely. Which samples are copied depends on the seed and
    their ids, what is drawn also on what the other copied samples hold.
    """
    answers = [
        answer
        for sample, id in enumerate(shard.sample_ids)
        if (draw := random.Random(f"{seed}:{id}")).random() < share
        if (answer := _drawn_answer(shard, sample, vocabulary, draw)).content
    ]
    contents = [answer.content for answer in answers]
    draw = random.Random(f"{seed}:passages")
    material = Material(vocabulary, contents, _passages(shard, answers, vocabulary, draw))
    kinds = [_drawn_kind(answer, material) for answer in answers]
    others = _others(answers, kinds)
    copies = [
        _copy(shard, answer, kind, _noisy(answer, kind, others, material))
        for answer, kind in zip(answers, kinds, strict=True)
    ]
    return _joined(shard, answers, copies)


def _drawn_answer(
    shard: Shard, sample: int, vocabulary: Vocabulary, draw: random.Random
) -> _Answer:
    """Return one of the sample's answers; its content is empty if there is none."""
    start, end = shard.offsets_N1[sample : sample + 2].tolist()
    inside = np.concatenate([[False], shard.response_T[start:end], [False]])
    edges = np.flatnonzero(inside[1:] != inside[:-1]) + start
    if not len(edges):
        return _Answer(sample, start, [], draw)
    first, last = draw.choice(edges.reshape(-1, 2).tolist())
    return _Answer(sample, first, vocabulary.content(shard.input_ids_T[first:last].tolist()), draw)


def _passages(
    shard: Shard, answers: Sequence[_Answer], vocabulary: Vocabulary, draw: random.Random
) -> list[Tokens]:
    """Return passages of questions and answers, few enough for each to come back."""
    passages = []
    for answer in draw.sample(answers, -(-len(answers) // _ANSWERS_OF_A_PASSAGE)):
        tokens = answer.content
        if draw.random() < 0.5:
            first = int(shard.offsets_N1[answer.sample])
            question = shard.input_ids_T[first : max(first, answer.start - _HEADER)].tolist()
            tokens = [token for token in question if token not in vocabulary.special]
        ends = vocabulary.sentence_ends
        begins = [place + 1 for place, token in enumerate(tokens[:-1]) if token in ends]
        begin = draw.choice(begins) if begins else 0
        passages.append(tokens[begin : begin + draw.randint(*_PASSAGE_LENGTHS)])
    return [passage for passage in passages if passage]


def _drawn_kind(answer: _Answer, material: Material) -> Kind | None:
    kinds = [kind for kind in KINDS if possible(kind, answer.content, material)]
    return answer.draw.choice(kinds) if kinds else None


def _others(answers: Sequence[_Answer], kinds: Sequence[Kind | None]) -> dict[int, Tokens]:
    """Return the answer that each swapped sample gets: the next one's, so that none comes twice."""
    pairs = zip(answers, kinds, strict=True)
    given = [answer for answer, kind in pairs if kind == "swapped"]
    following = given[1:] + given[:1]
    return {a.sample: b.content for a, b in zip(given, following, strict=True)}


def _noisy(
    answer: _Answer, kind: Kind | None, others: Mapping[int, Tokens], material: Material
) -> Noisy:
    if kind is None:
        return Noisy(answer.content, [False] * len(answer.content))
    if kind == "swapped":
        return swapped(answer.content, others[answer.sample])
    return PLANTERS[kind](answer.content, material, answer.draw)


def _copy(shard: Shard, answer: _Answer, kind: Kind | None, noisy: Noisy) -> _Copy:
    start, end = shard.offsets_N1[answer.sample : answer.sample + 2].tolist()
    before = slice(start, answer.start)
    after = slice(answer.start + len(answer.content), end)
    num_tokens = len(noisy.tokens)

    def around(values_T: NDArray[Any], inside: NDArray[Any]) -> NDArray[Any]:
        return np.concatenate([values_T[before], inside, values_T[after]], dtype=values_T.dtype)

    label = np.array(noisy.is_noise, dtype=np.int8) * (1 + KINDS.index(kind) if kind else 0)
    return _Copy(
        input_ids_P=around(shard.input_ids_T, np.array(noisy.tokens, dtype=np.int32)),
        response_P=around(shard.response_T, np.ones(num_tokens, dtype=bool)),
        turn_P=around(shard.turn_T, np.full(num_tokens, shard.turn_T[answer.start])),
        label_P=np.pad(label, (answer.start - start, end - after.start)),
    )


def _joined(
    shard: Shard, answers: Sequence[_Answer], copies: Sequence[_Copy]
) -> tuple[Shard, Labels]:
    """Return the copies as a shard, and label_P."""
    arrays: dict[str, list[NDArray[Any]]] = defaultdict(list)
    for copy in (_NOTHING, *copies):
        for name, values in vars(copy).items():
            arrays[name].append(values)
    joined = {name: np.concatenate(values) for name, values in arrays.items()}
    planted = Shard(
        sample_ids=[shard.sample_ids[answer.sample] for answer in answers],
        sources=[shard.sources[answer.sample] for answer in answers],
        offsets_N1=np.cumsum([0, *(len(copy.input_ids_P) for copy in copies)]),
        input_ids_T=joined["input_ids_P"],
        response_T=joined["response_P"],
        turn_T=joined["turn_P"],
    )
    return planted, joined["label_P"]


_NOTHING = _Copy(
    np.zeros(0, np.int32), np.zeros(0, bool), np.zeros(0, np.int16), np.zeros(0, np.int8)
)
