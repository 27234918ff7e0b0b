"""Copies on this machine of what lies in a store: made once, whichever processes ask for them.

    <cache home>/tokensieve/<workspace>/files/<key>      the copy
                                        versions/<key>   which version it is; a lock for its maker
                                        partial/<key>    the copy while it is made
                            scratch/                     directories for a while
                            models/                      of models: tokensieve/models/fetching.py

Nothing here is needed: all of it may be deleted while no run is at work. Copies that were not used
for an hour go, those not used for longest first, where a new one would leave less than a twentieth
of the disk free.
"""

import os
import shutil
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tokensieve.errors import ResourceError
from tokensieve.storage.disk import disk_errors, sync
from tokensieve.storage.locking import file_lock

_IN_USE_SECONDS = 3600.0
SLOWEST_RATE = 1e6
"""Bytes a second of the slowest line that is waited for, by who sends or by who needs a copy that
another process makes.
"""
_SPARE_SHARE = 0.05


def cache_home() -> Path:
    """Return the directory of all copies on this machine, which nobody else can look into.

    Raises ResourceError if it cannot be made, or others may have put something there.
    """
    home = Path(os.environ.get("XDG_CACHE_HOME", ""))
    directory = (home if home.is_absolute() else Path.home() / ".cache") / "tokensieve"
    with disk_errors(directory, 0):
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        if why := _not_ours(directory):
            raise ResourceError(
                f"{directory}: {why}. Remove it, or set XDG_CACHE_HOME to a directory that is "
                "yours alone."
            )
    return directory


def _not_ours(directory: Path) -> str:
    """Return why others may have filled a directory or see what is in it; empty if neither.

    One that others could only look into is closed to them.
    """
    status = directory.stat()
    if status.st_uid != os.geteuid():
        return f"it belongs to user {status.st_uid}"
    if status.st_mode & 0o022:
        return "others can write there"
    if status.st_mode & 0o055:
        directory.chmod(0o700)
    return "others can look into it" if directory.stat().st_mode & 0o077 else ""


@dataclass(frozen=True)
class Cache:
    """The copies of one workspace."""

    root: Path

    def file(self, key: str, version: str, num_bytes: int, blocks: Iterable[bytes]) -> Path:
        """Return a file with the bytes of `key` in this version, made from `blocks` if need be.

        Raises ResourceError if there is no room for it.
        """
        path, mark = self.root / "files" / key, self.root / "versions" / key
        if _is_copy(path, mark, version, num_bytes):
            return path
        partial = self.root / "partial" / key
        with disk_errors(path, num_bytes):
            for file in (path, mark, partial):
                file.parent.mkdir(parents=True, exist_ok=True)
            with file_lock(mark, str(path), more_seconds=num_bytes / SLOWEST_RATE):
                if not _is_copy(path, mark, version, num_bytes):
                    _make_room(self.root.parent, num_bytes)
                    mark.write_text("")  # what is there from now on is of no known version
                    _write(partial, blocks)
                    partial.replace(path)
                    mark.write_text(version)
        return path


def _is_copy(path: Path, mark: Path, version: str, num_bytes: int) -> bool:
    """Return whether the copy is of this version; then it counts as used."""
    try:
        is_copy = mark.read_text() == version and path.stat().st_size == num_bytes
    except FileNotFoundError:
        return False
    if is_copy:
        os.utime(mark)
    return is_copy


def _write(path: Path, blocks: Iterable[bytes]) -> None:
    with path.open("wb") as file:
        for block in blocks:
            file.write(block)
    sync(path)


def _make_room(home: Path, num_bytes: int) -> None:
    """Remove what was not used for longest, if the disk would be too full with the new copy."""
    disk = shutil.disk_usage(home)
    free = disk.free
    for copy in _unused(home):
        if free >= num_bytes + _SPARE_SHARE * disk.total:
            return
        with suppress(FileNotFoundError):  # another process makes room too
            free += copy.stat().st_size
            copy.unlink()
    if free < num_bytes:
        raise ResourceError(
            f"{home}: {num_bytes:,} bytes will be copied there, but {free:,} are free. Free some "
            "space, or set XDG_CACHE_HOME to a directory on a larger disk."
        )


def _unused(home: Path) -> Iterator[Path]:
    """Yield the copies that nobody has asked for in a while, the longest unused first."""
    marks = [path for path in home.glob("*/versions/**/*") if path.is_file()]
    used = {mark: mark.stat().st_mtime for mark in marks}
    for mark in sorted(marks, key=lambda mark: used[mark]):
        root = home / mark.relative_to(home).parts[0]
        copy = root / "files" / mark.relative_to(root / "versions")
        if time.time() - used[mark] > _IN_USE_SECONDS and copy.is_file():
            yield copy
