"""The group of settings that override a method token by token."""

from typing import Any, Literal, get_args

from pydantic import Field, field_validator

from tokensieve.patterns import compiled
from tokensieve.settings.tree import Settings

Protection = Literal["eos", "tool_calls", "code_fences", "numbers"]


class PolicySettings(Settings):
    """What holds of every sample, whatever the method says. Nothing is set by default."""

    protect: tuple[Protection, ...] = ()
    """Tokens that are never dropped where they have a score: `eos` (special tokens that close a
    response), `tool_calls` (the syntax of calls), `code_fences` (their lines, with the language),
    `numbers` (in the text, whatever tokens they are written in)."""
    protect_pattern: str | None = Field(default=None, min_length=1)
    """Regular expression over the text of each response: tokens that overlap one of its matches are
    never dropped either."""
    min_kept_tokens: int | None = Field(default=None, ge=1)
    """Tokens that each sample keeps at least, as far as it has so many with a score: those that the
    method finds best are added. Unset: none need be kept."""
    smooth_spans: int | None = Field(default=None, ge=2)
    """A token whose neighbours on both sides, so many on each, are all kept is kept; one whose
    neighbours are all dropped is dropped. Unset: none is changed."""

    @field_validator("protect_pattern")
    @classmethod
    def _is_a_pattern(cls, pattern: str | None) -> str | None:
        if pattern is not None:
            compiled(pattern)
        return pattern

    @property
    def protections(self) -> tuple[str, ...]:
        """Return what is protected, in the order in which a token is said to be so."""
        named = [name for name in get_args(Protection) if name in self.protect]
        return (*named, "protect_pattern") if self.protect_pattern is not None else tuple(named)

    @property
    def decisive(self) -> dict[str, Any]:
        """Return what is set, alike however it was written; empty if nothing is."""
        named = [name for name in self.protections if name in self.protect]
        given = {**self.model_dump(mode="json"), "protect": named or None}
        return {name: value for name, value in given.items() if value is not None}
