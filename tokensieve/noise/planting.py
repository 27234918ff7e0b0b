"""Plant noise of known kind and place into the answers of a corpus.

The clean run sees the plain SFT file; where the noise is, stands in a file beside it.
"""

import json
import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from tokensieve.noise.corpus import Record

Kind = Literal["corrupted", "wrong_number", "boilerplate", "swapped"]
KINDS: tuple[Kind, ...] = ("corrupted", "wrong_number", "boilerplate", "swapped")

BOILERPLATE = (
    "I hope this helps! Let me know if you have any other questions.",
    "As an AI language model, I do not have personal opinions.",
    "Please consult a qualified professional before acting on this.",
    "Thank you for your question, it is a really great one!",
    "Click the link below to subscribe to our newsletter.",
    "This response was generated automatically and may contain errors.",
)
_MAX_CORRUPTED_WORDS = 6


Noisy = tuple[str, int, int]
"""A text, and where in it the noise begins and ends."""


@dataclass(frozen=True)
class NoiseSpan:
    """Noise in the content of one assistant message, in characters."""

    start: int
    end: int
    kind: Kind


@dataclass(frozen=True)
class Planted:
    """What was planted into one record: by message index, the spans in its content."""

    id: str
    spans: dict[int, list[NoiseSpan]]


@dataclass(frozen=True)
class _Material:
    """What noise is made of: the distinct answers of the corpus, and the words in them."""

    answers: list[str]
    words: list[str]


def plant_noise(
    records: Sequence[Record], rate: float, seed: int, kinds: Sequence[Kind] = KINDS
) -> tuple[list[Record], list[Planted]]:
    """Return the records with noise in about `rate` of their answers, and where it is.

    A noisy answer has one kind of noise, each kind that its text allows being equally likely. All
    answers are stripped of white space at their ends, so that a span means the same under every
    template. What is drawn for a record depends on the seed, its id and the corpus's answers only.
    """
    texts = [m["content"].strip() for r in records for m in r["messages"] if _is_answer(m)]
    words = sorted({word for text in texts for word in text.split()})
    material = _Material(sorted(set(texts)), words)
    noisy, planted = [], []
    for record in records:
        draw = random.Random(f"{seed}:{record['id']}")
        messages = list(record["messages"])
        spans: dict[int, list[NoiseSpan]] = {}
        for place, message in enumerate(messages):
            if _is_answer(message):
                text, span = _drawn(message["content"].strip(), rate, draw, kinds, material)
                messages[place] = {**message, "content": text}
                spans |= {place: [span]} if span else {}
        noisy.append({**record, "messages": messages})
        planted.append(Planted(record["id"], spans))
    return noisy, planted


def write_planted(path: Path, planted: Sequence[Planted]) -> None:
    """Write one line per noisy message: id, message index, spans as [start, end, kind]."""
    with path.open("w", encoding="utf-8") as file:
        for each in planted:
            for message, spans in each.spans.items():
                places = [[span.start, span.end, span.kind] for span in spans]
                line = {"id": each.id, "message": message, "spans": places}
                file.write(json.dumps(line) + "\n")


def read_planted(path: Path) -> dict[str, Planted]:
    """Return what `write_planted` wrote, by id; records without noise are not in it."""
    planted: dict[str, Planted] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        each = planted.setdefault(row["id"], Planted(row["id"], {}))
        each.spans[row["message"]] = [NoiseSpan(*place) for place in row["spans"]]
    return planted


def _is_answer(message: dict[str, Any]) -> bool:
    return bool(message["role"] == "assistant")


def _drawn(
    text: str, rate: float, draw: random.Random, kinds: Sequence[Kind], material: _Material
) -> tuple[str, NoiseSpan | None]:
    """Return the text, with noise or as it was."""
    if draw.random() >= rate:
        return text, None
    for kind in draw.sample(kinds, len(kinds)):
        noisy = _PLANTERS[kind](text, draw, material)
        if noisy is not None:
            changed, start, end = noisy
            return changed, NoiseSpan(start, end, kind)
    return text, None


def _corrupted(text: str, draw: random.Random, material: _Material) -> Noisy | None:
    """Replace a run of words, at most a third of them, by random words of the corpus."""
    places = [match.span() for match in re.finditer(r"\S+", text)]
    if len(places) < 3 or len(material.words) < 2:
        return None
    num_words = draw.randint(1, min(_MAX_CORRUPTED_WORDS, len(places) // 3))
    first = draw.randint(0, len(places) - num_words)
    start, end = places[first][0], places[first + num_words - 1][1]
    old = text[start:end].split()
    new = " ".join(_another(word, material.words, draw) for word in old)
    return _replaced(text, start, end, new)


def _wrong_number(text: str, draw: random.Random, material: _Material) -> Noisy | None:
    """Replace a number by another one of as many digits."""
    places = [match.span() for match in re.finditer(r"[0-9]{1,9}", text)]
    if not places:
        return None
    start, end = draw.choice(places)
    digits = end - start
    lowest = 10 ** (digits - 1) if digits > 1 else 0
    number = draw.randrange(lowest, 10**digits - 1)
    number += number >= int(text[start:end])  # never the old one
    return _replaced(text, start, end, str(number))


def _boilerplate(text: str, draw: random.Random, material: _Material) -> Noisy | None:
    """Add a sentence that has nothing to do with the question, before the answer or after it."""
    sentence = draw.choice(BOILERPLATE)
    if draw.random() < 0.5:
        return f"{sentence} {text}", 0, len(sentence)
    return f"{text} {sentence}", len(text) + 1, len(text) + 1 + len(sentence)


def _swapped(text: str, draw: random.Random, material: _Material) -> Noisy | None:
    """Give the answer of another question."""
    if len(material.answers) < 2:
        return None
    return _replaced(text, 0, len(text), _another(text, material.answers, draw))


def _another(old: str, values: list[str], draw: random.Random) -> str:
    """Return one of at least two distinct values that is not the old one."""
    while (new := draw.choice(values)) == old:
        pass
    return new


def _replaced(text: str, start: int, end: int, new: str) -> Noisy:
    return text[:start] + new + text[end:], start, start + len(new)


_PLANTERS = {
    "corrupted": _corrupted,
    "wrong_number": _wrong_number,
    "boilerplate": _boilerplate,
    "swapped": _swapped,
}
