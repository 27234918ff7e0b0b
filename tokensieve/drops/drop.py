"""A drop as it lies somewhere: its files, and whether it is complete. Nothing is opened."""

import re
from dataclasses import dataclass

from tokensieve.errors import shortened
from tokensieve.ingest.directories import SUCCESS

NAME = re.compile(r"[a-z0-9]([a-z0-9._-]{0,62}[a-z0-9_-])?")
"""Names of drops: they become names in the workspace, of events, and on command lines."""
_HIDDEN = (".", "_")
"""How names begin of what is no data, such as what is still being written."""


def is_hidden(name: str) -> bool:
    """Return whether the name is one of what is no data."""
    return name.startswith(_HIDDEN)


def is_data(name: str) -> bool:
    """Return whether the file of this name in a drop is meant to be read: it is not hidden, nor is
    a folder that it lies in.
    """
    return not any(map(is_hidden, name.split("/")))


def why_no_name(name: str) -> str:
    """Return why no drop can have this name, which is data of others; empty if one can."""
    if NAME.fullmatch(name):
        return ""
    return (
        f"{shortened(name)}: cannot be the name of a drop: at most 64 of a-z 0-9 . _ -, a letter "
        "or digit first and no dot last. Rename it"
    )


@dataclass(frozen=True)
class Entry:
    """A file of a drop."""

    name: str
    """Its path below the drop, with `/`."""
    num_bytes: int
    version: str
    """Changes whenever the file does."""
    changed: float
    """When it was last written, in seconds since 1970."""


@dataclass(frozen=True)
class Drop:
    """A folder of the location, as it was seen."""

    name: str
    place: str
    """Its path or address."""
    entries: tuple[Entry, ...]
    """Every file of it, by name."""
    changed: float
    """When a file or a name in it was last written."""

    @property
    def data(self) -> dict[str, Entry]:
        """Return the files that are meant to be read, by name."""
        return {entry.name: entry for entry in self.entries if is_data(entry.name)}

    def why_waiting(self, now: float, quiet_seconds: float) -> str:
        """Return why it is not complete yet at the time `now`; empty if it is complete.

        It is complete if `_SUCCESS` was written last, or if nothing in it has changed for so long.
        """
        if not self.data:
            return "holds no files yet"
        marks = [entry.changed for entry in self.entries if entry.name == SUCCESS]
        if marks and marks[0] >= max(entry.changed for entry in self.entries):
            return ""
        if now - self.changed >= quiet_seconds:
            return ""
        minutes = f"{quiet_seconds / 60:g} minutes"
        return f"something changed in it in the last {minutes}, and no {SUCCESS} was written since"
