"""Drops in a directory of this machine: its folders."""

import os
from collections.abc import Iterator
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
    """Return a drop as it is now. Raises InputError if it cannot be looked at."""
    root = Path(location) / name
    entries, changed = [], 0.0
    with reading(str(root)):
        for path, found in _walk(root):
            changed = max(changed, found.st_mtime)
            if not path.is_dir():
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


def _walk(root: Path) -> Iterator[tuple[Path, os.stat_result]]:
    """Yield the folder and everything in it; no link to a folder is gone through."""
    yield root, root.stat()
    for folder, folders, files in os.walk(root, onerror=_raise):
        for name in (*folders, *files):
            path = Path(folder) / name
            yield path, path.stat()


def _raise(error: OSError) -> None:
    raise error
