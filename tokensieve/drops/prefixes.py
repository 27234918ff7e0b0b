"""Drops below an s3:// address: the first parts of the names of its objects."""

from collections.abc import Iterable
from itertools import groupby

from tokensieve.drops.drop import Drop, Entry, is_hidden, why_no_name
from tokensieve.errors import shortened
from tokensieve.objects import S3Object, list_written
from tokensieve.settings import S3Settings

_Written = tuple[S3Object, float]


def find_prefixes(location: str, s3: S3Settings) -> tuple[list[Drop], list[str], float]:
    """Return the drops by name, a line for everything that is none, and the store's time."""
    written = list_written(location, s3)
    drops, warnings = [], []

    def first_part(each: _Written) -> str:
        return _inside(location, each[0]).partition("/")[0]

    for name, group in groupby(written.objects, key=first_part):
        objects = list(group)
        why = why_no_name(name)
        if _inside(location, objects[0][0]) == name:
            why = f"{shortened(name)}: lies beside the drops"
        if not why:
            drops.append(_drop(location, name, objects))
        elif not is_hidden(name):
            warnings.append(f"{location}: {why}")
    return drops, warnings, written.now


def look_at_prefix(location: str, name: str, s3: S3Settings) -> Drop:
    """Return a drop as it is now."""
    return _drop(location, name, list_written(f"{location}/{name}", s3).objects)


def _drop(location: str, name: str, objects: Iterable[_Written]) -> Drop:
    place = f"{location}/{name}"
    entries = [
        Entry(_inside(place, found), found.num_bytes, found.found.etag, changed)
        for found, changed in objects
    ]
    entries.sort(key=lambda each: each.name)
    return Drop(name, place, tuple(entries), max((e.changed for e in entries), default=0.0))


def _inside(place: str, found: S3Object) -> str:
    return str(found).removeprefix(f"{place}/")
