"""Putting bytes on a disk so that they stay there, and what to tell if they do not."""

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tokensieve.errors import ResourceError

NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
"""Errors of a disk that has no room left, or not for this user."""


def write_synced(path: Path, data: bytes) -> None:
    """Write a new file and wait until its bytes are on the disk; its name need not be yet."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o644)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(descriptor)


def check_links(root: Path, directory: Path) -> None:
    """Raise ResourceError if the directory is, or lies below, a link in `root` of another user.

    Those of the owner of the workspace are followed: so a part of it may lie on another disk.
    """
    for each in (directory, *directory.parents):
        if not each.is_relative_to(root):
            return
        found = each.lstat()
        if stat.S_ISLNK(found.st_mode) and found.st_uid not in _trusted(root):
            raise ResourceError(
                f"{each}: is a link that user {found.st_uid} made, and leads to {each.resolve()}. "
                "Remove it, and let nobody else write to the workspace: chmod go-w."
            )


def _trusted(root: Path) -> set[int]:
    return {0, os.geteuid(), root.stat().st_uid}


def sync(path: Path) -> None:
    """Wait until the bytes of a file, or the names in a directory, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def link(partial: Path, final: Path) -> bool:
    """Give the file its name, durably, unless the name is taken; return whether it was free."""
    try:
        os.link(partial, final)  # unlike rename, link never overwrites
    except FileExistsError:
        return False
    finally:
        sync(final.parent)  # also when another writer won: its link may not be durable yet
    return True


@contextmanager
def disk_errors(path: Path, num_bytes: int) -> Iterator[None]:
    """Turn an OSError while writing `path` into a ResourceError that says what to do."""
    try:
        yield
    except OSError as error:
        advice = "Free some space" if error.errno in NO_ROOM else "Check the disk and permissions"
        raise ResourceError(
            f"{path}: {num_bytes} bytes could not be written: {error.strerror}. "
            f"{advice}, then run the same command again; finished shards are kept."
        ) from error
