"""Drops: files that arrive at a location, and what became of them.

location.py  where they arrive: folders.py, or prefixes.py on S3
drop.py      what lies there: files, and whether they are complete
visits.py    the log of what was cleaned: remembered by content
overlap.py   samples that several visits hold
looks.py     what was seen last: so that what has not changed is not read again
"""

from tokensieve.drops.drop import NAME, Drop, Entry, is_data
from tokensieve.drops.location import Found, check_location, find_drops, look_at
from tokensieve.drops.looks import MAX_DETAIL, FileLook, Look, State, looks, note_looks
from tokensieve.drops.overlap import num_held_too
from tokensieve.drops.visits import (
    Log,
    Visit,
    VisitedFile,
    read_log,
    release,
    released,
    required_visit,
    sample_counts,
)

__all__ = [
    "MAX_DETAIL",
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
    "is_data",
    "look_at",
    "looks",
    "note_looks",
    "num_held_too",
    "read_log",
    "release",
    "released",
    "required_visit",
    "sample_counts",
]
