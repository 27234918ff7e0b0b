"""Records: what a row says, whatever its shape."""

from dataclasses import dataclass
from typing import Literal

Role = Literal["system", "user", "assistant"]


class RowProblem(ValueError):
    """Why one row becomes no sample. Its row is quarantined or skipped; the run goes on."""

    def __init__(
        self, reason: str, detail: str = "", field: str = "", outcome: str = "quarantined"
    ) -> None:
        """Keep the parts; all four are passed on, so that the error survives pickling."""
        super().__init__(reason, detail, field, outcome)
        self.reason = reason
        self.detail = detail
        self.field = field
        self.outcome = outcome


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a conversation."""

    role: Role
    content: str
    context: str = ""
    """Alpaca's `input`: material that belongs to the instruction."""


@dataclass(frozen=True, slots=True)
class Record:
    """A conversation, or tokens with labels that are taken as they are."""

    id: str | None
    source: str | None
    messages: tuple[Message, ...] = ()
    tokens: tuple[list[int], list[int]] | None = None
    """(input_ids, labels) of a row that was tokenised elsewhere."""
