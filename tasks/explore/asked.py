"""What the address of a page asks for."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tokensieve.errors import SettingsError, shortened
from tokensieve.runs import run_and_round

_MAX_DIGITS = 10


@dataclass(frozen=True)
class Asked:
    """The parameters of an address."""

    values: Mapping[str, str]

    def text(self, name: str) -> str | None:
        """Return what was given, None for nothing."""
        return self.values.get(name) or None

    def required(self, name: str) -> str:
        """Return what was given; raise SettingsError for nothing."""
        value = self.text(name)
        if value is None:
            raise SettingsError(f"{name}: is missing in the address. Begin with the runs.")
        return value

    def number(self, name: str) -> int:
        """Return a whole number of at least 0; raise SettingsError for anything else."""
        value = self.required(name)
        if not value.isdecimal() or len(value) >= _MAX_DIGITS:
            raise SettingsError(
                f"{name}: {shortened(value)} is not a whole number. Begin with the runs."
            )
        return int(value)

    def choice(self, name: str, among: Mapping[str, str], default: str) -> str:
        """Return one of `among`; raise SettingsError for another word."""
        value = self.text(name) or default
        if value not in among:
            raise SettingsError(
                f"{name}: {shortened(value)} is not one of these: {', '.join(among)}."
            )
        return value

    def round(self, name: str) -> tuple[str, int | None]:
        """Return run and round of `RUN:ROUND`; None for the last round."""
        return run_and_round(name, self.required(name))

    def after(self, *kinds: type) -> list[Any]:
        """Return what the page before ended with, a value of each kind; None for the first page."""
        value = self.text("after")
        if value is None:
            return [None] * len(kinds)
        try:
            found = json.loads(value)
        except (ValueError, RecursionError):
            found = None
        if not isinstance(found, list) or [type(each) for each in found] != list(kinds):
            raise SettingsError(
                f"after: {shortened(value)} is no end of a page. Begin with its first."
            )
        return found


def end_of_page(*values: Any) -> str:
    """Return what `Asked.after` reads."""
    return json.dumps(values)
