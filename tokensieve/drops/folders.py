"""Drops in a directory of this machine: its folders."""

import os
import stat
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from tokensieve.drops.drop import Drop, Entry, is_hidden, why_no_name
from tokensieve.errors import shortened
from tokensieve.ingest.opening import reading


def folder_names(location: str) -> tuple[list[str], list[str]]:
    """Return the names of the drops, in order, and a line for everything that is none."""
    names, warnings = [], []
    with reading(location), os.scandir(location) as entries:
        for entry in sorted(entries, key=lambda each: each.name):
            why = _why_no_drop(entry)
            if not why:
                names.append(entry.name)
            elif not is_hidden(entry.name):
                warnings.append(f"{location}: {why}")
    return names, warnings


def look_at_folder(location: str, name: str) -> Drop:
    """Return a drop as it is now. Raises InputError if a folder in it cannot be looked at.

    Where something is gone before it was looked at, the drop has changed just now.
    """
    root = Path(location) / name
    entries, changed = [], 0.0
    for path, found in _walk(root):
        changed = max(changed, time.time() if found is None else found.st_mtime)
        if found is not None and not stat.S_ISDIR(found.st_mode):
            version = f"{found.st_mtime_ns}-{found.st_ctime_ns}"
            inside = path.relative_to(root).as_posix()
            entries.append(Entry(inside, found.st_size, version, found.st_mtime))
    return Drop(name, str(root), tuple(sorted(entries, key=lambda each: each.name)), changed)


def _why_no_drop(entry: os.DirEntry[str]) -> str:
    if entry.is_symlink():
        return f"{shortened(entry.name)}: is a link; move the folder here"
    if not entry.is_dir(follow_symlinks=False):
        return f"{shortened(entry.name)}: lies beside the drops"
    return why_no_name(entry.name)


def _walk(root: Path) -> Iterator[tuple[Path, os.stat_result | None]]:
    """Yield the folder and everything in it; no link to a folder is gone through."""
    waiting = [root]
    while waiting:
        path = waiting.pop()
        found = _state(path)
        yield path, found
        if found is not None and stat.S_ISDIR(found.st_mode) and not path.is_symlink():
            waiting += _inside(path)


def _state(path: Path) -> os.stat_result | None:
    """Return the state of what lies there, of a link that of its target; None if it is gone."""
    with reading(str(path)):
        try:
            found = path.lstat()
        except FileNotFoundError:
            return None
        if stat.S_ISLNK(found.st_mode):
            with suppress(OSError):  # of one that leads nowhere its own: whoever reads it is told
                found = path.stat()
        return found


def _inside(folder: Path) -> list[Path]:
    with reading(str(folder)):
        try:
            return [*folder.iterdir()]
        except FileNotFoundError:
            return [folder]  # looked at once more, it is found to be gone
