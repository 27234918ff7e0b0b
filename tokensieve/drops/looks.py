"""What was seen last at a location: derived, so losing it costs only that files are hashed again.

drops/LOOKS.json    per drop: its state, and size, version and hash of each of its files
"""

from collections.abc import Mapping
from typing import Literal

from pydantic import BaseModel, ConfigDict

from tokensieve.documents import parsed, sealed_json
from tokensieve.drops.drop import Drop
from tokensieve.errors import DamagedError
from tokensieve.storage import Storage

State = Literal["waiting", "begun", "cleaned", "held", "known", "failed"]
"""`waiting`: not complete; `known`: nothing in it is new. The states of a drop, for people."""
MAX_DETAIL = 500
"""Characters that are noted of errors and warnings."""
_KEY = "drops/LOOKS.json"
_SETTLED = {"cleaned", "held", "known"}


class _Document(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class FileLook(_Document):
    """A file as it was seen."""

    num_bytes: int
    version: str
    sha256: str | None
    """Unset: it was not read."""


class Look(_Document):
    """A drop as it was seen."""

    state: State
    detail: str = ""
    """What a person should know: why it waits, what went wrong, what was left out."""
    files: dict[str, FileLook] = {}
    """By name."""

    def is_same(self, drop: Drop) -> bool:
        """Return whether all of the drop was dealt with, and no file of it has changed since."""
        same = {name: (file.num_bytes, file.version) for name, file in self.files.items()}
        seen = {name: (entry.num_bytes, entry.version) for name, entry in drop.data.items()}
        return self.state in _SETTLED and same == seen


class _Looks(_Document):
    drops: dict[str, Look]


def looks(storage: Storage) -> dict[str, Look]:
    """Return what was noted of each drop; nothing if the note is not there or cannot be read."""
    data = storage.read(_KEY)
    if data is None:
        return {}
    try:
        return parsed(_Looks, data, storage.place(_KEY)).drops
    except DamagedError:  # of another version, or cut: what it says is found out again
        return {}


def note_looks(storage: Storage, seen: Mapping[str, Look]) -> None:
    """Note what was seen of these drops; what is noted of others stays."""
    before = looks(storage)
    after = before | dict(seen)
    if after != before:
        storage.replace_bytes(_KEY, sealed_json(_Looks(drops=after)))
