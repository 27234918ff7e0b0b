"""What every template gives: the text of a conversation, and the places in it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from tokensieve.ingest.records import Message

Span = tuple[int, int]
"""First character and the one after the last."""

NOWHERE: Span = (-1, -1)


@dataclass(frozen=True, slots=True)
class Rendered:
    """A conversation as text."""

    text: str
    answers: tuple[Span, ...]
    """What the model is to produce, one span per assistant message."""
    contents: tuple[Span, ...]
    """Where the content of each message stands; NOWHERE if that is not certain."""


class Template(Protocol):
    """How a conversation is written down."""

    @property
    def name(self) -> str:
        """Return what a user calls it."""
        ...

    @property
    def fingerprint(self) -> str:
        """Return what changes when the same conversation would be written in another way."""
        ...

    @property
    def adds_special_tokens(self) -> bool:
        """Return whether the tokenizer adds its own (BOS); a Jinja template writes them itself."""
        ...

    def render(self, messages: Sequence[Message]) -> Rendered:
        """Return the conversation as text. Raises RowProblem for one that cannot be written."""
        ...


def joined_content(message: Message) -> str:
    """Return the content and, below it, the context, for templates without a place for that."""
    return f"{message.content}\n\n{message.context}" if message.context else message.content
