"""What a walk through a workspace finds: for people and clean-up, never for what is done."""

from dataclasses import dataclass


@dataclass(frozen=True)
class StoredFile:
    """A file of a workspace, whoever made it."""

    key: str
    num_bytes: int
    age: float
    """Seconds since it was last written, by the clock of the storage itself."""


@dataclass(frozen=True)
class Leftover(StoredFile):
    """What a killed writer left behind: a temporary file, an upload that never ended, a probe."""

    handle: str
    """What the storage knows it by; empty if that is its key."""
