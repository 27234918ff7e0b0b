"""What lies at a location: its folders are drops, once they are complete.

Nothing is opened. Names are data of others: one that is not as NAME has it is told, and never used.
"""

import os
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tokensieve.errors import InputError, SettingsError, shortened
from tokensieve.ingest.directories import SUCCESS
from tokensieve.ingest.opening import reading
from tokensieve.settings import S3Settings

NAME = re.compile(r"[a-z0-9]([a-z0-9._-]{0,62}[a-z0-9_-])?")
"""Names of drops: they become names in the workspace, of events, and on command lines."""
_HIDDEN = (".", "_")
"""How names begin of what is no data, such as what is still being written."""


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

    @property
    def is_data(self) -> bool:
        """Return whether it is meant to be read: neither it nor its folder is hidden."""
        return not any(part.startswith(_HIDDEN) for part in self.name.split("/"))


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
        return {entry.name: entry for entry in self.entries if entry.is_data}

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


@dataclass(frozen=True)
class Found:
    """What lies at a location."""

    drops: tuple[Drop, ...]
    """By name."""
    now: float
    """The time by the clock of what holds the files, in seconds since 1970."""
    warnings: tuple[str, ...]
    """What is no drop, one line each."""


def check_location(location: str, workspace: str) -> None:
    """Raise SettingsError if there is no such directory, or if it and the workspace are nested."""
    if not Path(location).is_dir():
        raise SettingsError(f"{location}: there is no such directory. Give the location of drops.")
    inner, outer = Path(location).resolve(), Path(workspace).resolve()
    if inner.is_relative_to(outer) or outer.is_relative_to(inner):
        raise SettingsError(
            f"location: {location} and the workspace {workspace} lie in each other. What is made "
            "of drops would be taken for drops; choose another --workspace."
        )


def find_drops(location: str, s3: S3Settings) -> Found:
    """Return what lies at the location."""
    root = Path(location)
    names, warnings = [], []
    with reading(location), os.scandir(root) as entries:
        for entry in sorted(entries, key=lambda each: each.name):
            why = _why_no_drop(entry)
            if not why:
                names.append(entry.name)
            elif not entry.name.startswith(_HIDDEN):
                warnings.append(f"{location}: {shortened(entry.name)}: {why}")
    drops = tuple(look_at(location, name, s3) for name in names)
    return Found(drops, time.time(), tuple(warnings))


def look_at(location: str, name: str, s3: S3Settings) -> Drop:
    """Return a drop as it is now. Raises InputError if it holds a link out of the location."""
    root = Path(location) / name
    entries, changed = [], 0.0
    with reading(str(root)):
        for path, found in _walk(root):
            changed = max(changed, found.st_mtime)
            if not path.is_dir():
                _check_inside(path, Path(location))
                version = f"{found.st_mtime_ns}-{found.st_ctime_ns}"
                inside = path.relative_to(root).as_posix()
                entries.append(Entry(inside, found.st_size, version, found.st_mtime))
    return Drop(name, str(root), tuple(sorted(entries, key=lambda each: each.name)), changed)


def _why_no_drop(entry: os.DirEntry[str]) -> str:
    if not entry.is_dir(follow_symlinks=False):
        return "is a link; move the folder here" if entry.is_symlink() else "lies beside the drops"
    if not NAME.fullmatch(entry.name):
        return f"cannot be the name of a drop: it has to match {NAME.pattern}. Rename it"
    return ""


def _walk(root: Path) -> Iterator[tuple[Path, os.stat_result]]:
    """Yield the folder and everything in it, links not followed into folders."""
    yield root, root.stat()
    for folder, folders, files in os.walk(root, onerror=_raise):
        for name in (*folders, *files):
            path = Path(folder) / name
            yield path, path.stat()


def _raise(error: OSError) -> None:
    raise error


def _check_inside(path: Path, location: Path) -> None:
    if path.is_symlink() and not path.resolve().is_relative_to(location.resolve()):
        raise InputError(f"{path}: is a link out of {location}. Copy the file into the drop.")
