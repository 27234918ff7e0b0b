"""Drops: files that arrive at a location, and what became of them.

location.py  what lies there, which of it is a drop, and whether it is complete
visits.py    the log of what was cleaned: remembered by content
looks.py     what was seen last: so that what has not changed is not read again
"""

from tokensieve.drops.location import (
    NAME,
    Drop,
    Entry,
    Found,
    check_location,
    find_drops,
    look_at,
)
from tokensieve.drops.looks import FileLook, Look, State, looks, note_looks
from tokensieve.drops.visits import (
    Log,
    Visit,
    VisitedFile,
    read_log,
    release,
    released,
    sample_counts,
)

__all__ = [
    "NAME",
    "Drop",
    "Entry",
    "FileLook",
    "Found",
    "Log",
    "Look",
    "State",
    "Visit",
    "VisitedFile",
    "check_location",
    "find_drops",
    "look_at",
    "looks",
    "note_looks",
    "read_log",
    "release",
    "released",
    "sample_counts",
]
