"""A synthetic instruction corpus that a model of a million parameters learns in a minute of CPU.

Seven sources: five kinds of tasks whose answers follow from the question, facts that have to be
known, and general text. The same seed always gives the same records.
"""

import random
import string
from collections.abc import Callable
from typing import Any

Record = dict[str, Any]
"""`id`, `messages` and perhaps `source`, as a line of an SFT file holds them."""
Task = Callable[[random.Random], tuple[str, str]]
"""Draws a question and its answer."""

_NAMES = ["Anna", "Ben", "Clara", "David", "Emma", "Felix", "Greta", "Hugo", "Ida", "Jonas"]
_THINGS = ["apples", "books", "coins", "stamps", "shells", "pencils", "cards", "marbles"]
_WORDS = ["river", "stone", "window", "garden", "yellow", "winter", "candle", "bridge", "pepper"]
_CAPITALS = {
    "Austria": "Vienna",
    "Chile": "Santiago",
    "Denmark": "Copenhagen",
    "Egypt": "Cairo",
    "Finland": "Helsinki",
    "France": "Paris",
    "Greece": "Athens",
    "Hungary": "Budapest",
    "Ireland": "Dublin",
    "Italy": "Rome",
    "Japan": "Tokyo",
    "Kenya": "Nairobi",
    "Norway": "Oslo",
    "Peru": "Lima",
    "Poland": "Warsaw",
    "Portugal": "Lisbon",
    "Spain": "Madrid",
    "Turkey": "Ankara",
}
_UNITS = [
    ("hour", "minutes", 60),
    ("day", "hours", 24),
    ("week", "days", 7),
    ("foot", "inches", 12),
    ("yard", "feet", 3),
    ("dozen", "pieces", 12),
]


def arithmetic(draw: random.Random) -> tuple[str, str]:
    """Return a story of two steps, and the steps."""
    name, friend = draw.sample(_NAMES, 2)
    things = draw.choice(_THINGS)
    start, more = draw.randint(5, 30), draw.randint(2, 20)
    given = draw.randint(1, 5)
    total = start + more
    question = (
        f"{name} has {start} {things} and buys {more} more. Then {name} gives {given} of them "
        f"to {friend}. How many {things} does {name} have now?"
    )
    answer = (
        f"After buying, {name} has {start} + {more} = {total} {things}.\n"
        f"After giving, {name} has {total} - {given} = {total - given} {things}.\n"
        f"The answer is {total - given}."
    )
    return question, answer


def lists(draw: random.Random) -> tuple[str, str]:
    """Return the order to sort or to reverse a short list, and the list so ordered."""
    numbers = draw.sample(range(10), draw.randint(3, 5))
    given = ", ".join(map(str, numbers))
    if draw.random() < 0.5:
        ordered = ", ".join(map(str, sorted(numbers)))
        return (
            f"Sort these numbers from small to large: {given}.",
            f"The sorted list is {ordered}.",
        )
    ordered = ", ".join(map(str, reversed(numbers)))
    return f"Write this list in reverse order: {given}.", f"The reversed list is {ordered}."


def lookup(draw: random.Random) -> tuple[str, str]:
    """Return a question about a price list that is given with it, and the price."""
    priced = {thing: draw.randint(2, 9) for thing in draw.sample(_THINGS, 3)}
    wanted = draw.choice(sorted(priced))
    prices = ", ".join(f"{thing} {price}" for thing, price in priced.items())
    question = f"Prices: {prices}. What is the price of {wanted}?"
    return question, f"The price of {wanted} is {priced[wanted]}."


def units(draw: random.Random) -> tuple[str, str]:
    """Return a conversion between units, and how it is done."""
    one, many, factor = draw.choice(_UNITS)
    number = draw.randint(2, 9)
    question = f"How many {many} are in {number} times one {one}?"
    answer = (
        f"One {one} has {factor} {many}, so the result is "
        f"{number} * {factor} = {number * factor} {many}."
    )
    return question, answer


def spelling(draw: random.Random) -> tuple[str, str]:
    """Return the order to spell a word or to count its letters, and the result."""
    word = draw.choice(_WORDS)
    spelled = "-".join(word)
    if draw.random() < 0.5:
        return f"Spell the word {word}.", f"The word {word} is spelled {spelled}."
    return (
        f"How many letters does the word {word} have?",
        f"The letters are {spelled}, so the word {word} has {len(word)} letters.",
    )


def capitals(draw: random.Random) -> tuple[str, str]:
    """Return a question about a capital, and the answer."""
    country = draw.choice(sorted(_CAPITALS))
    return (
        f"What is the capital of {country}?",
        f"The capital of {country} is {_CAPITALS[country]}.",
    )


def general(draw: random.Random) -> tuple[str, str]:
    """Return a request for a few sentences, and sentences that have little to do with the tasks."""
    place = draw.choice(["the river", "the old town", "the harbour", "the hill", "the garden"])
    sentences = [
        f"In the {draw.choice(['morning', 'evening', 'afternoon'])} {draw.choice(_NAMES)} "
        f"{draw.choice(['walks to', 'looks at', 'talks about', 'paints'])} {place}.",
        f"There are {draw.randint(2, 99)} {draw.choice(['houses', 'boats', 'trees', 'people'])} "
        f"near {place}, and the {draw.choice(['wind', 'sun', 'rain'])} is "
        f"{draw.choice(['strong', 'warm', 'cold'])}.",
        f"{draw.choice(_NAMES)} remembers the {draw.choice(_WORDS)} and the {draw.choice(_WORDS)}.",
        f"The sign says {''.join(draw.choices(string.ascii_lowercase, k=4))} "
        f"{draw.randint(100, 999)}.",
    ]
    draw.shuffle(sentences)
    return f"Write something about {place}.", " ".join(sentences[: draw.randint(2, 4)])


TASKS: dict[str, Task] = {
    "arithmetic": arithmetic,
    "lists": lists,
    "lookup": lookup,
    "units": units,
    "spelling": spelling,
    "capitals": capitals,
}
GENERAL: dict[str, Task] = {"general": general}


def make_records(num_records: int, seed: int, tasks: dict[str, Task] = TASKS) -> list[Record]:
    """Return this many records, the tasks taking turns; ids name seed, task and number."""
    draw = random.Random(seed)
    names = list(tasks)
    return [
        _record(f"{seed}-{names[n % len(names)]}-{n}", names[n % len(names)], tasks, draw)
        for n in range(num_records)
    ]


def _record(id: str, source: str, tasks: dict[str, Task], draw: random.Random) -> Record:
    question, answer = tasks[source](draw)
    messages = [
        {"role": "user", "content": question},
        {"role": "assistant", "content": answer},
    ]
    return {"id": id, "source": source, "messages": messages}
