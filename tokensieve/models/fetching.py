"""A model on S3, on this machine: in a directory that is looked through before it is used.

    <cache home>/models/<id>/<name>   a copy; the id is that of what was listed
                        <id>.use      locked by every process that uses the copy
                        <id>.fetch    locked by the one that fetches it
                        <id>.gone     a copy that is being removed, or half removed

A copy is never changed, so what is in use stays as it is whatever happens to the objects. When the
disk is nearly full, copies that no process uses make room, the one used longest ago first.
"""

import fcntl
import os
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import BinaryIO

from tokensieve.documents import content_id
from tokensieve.errors import InputError, ResourceError, shortened
from tokensieve.models.directory import check_kind, check_model_directory
from tokensieve.objects import S3Object, list_objects
from tokensieve.settings.groups import S3Settings
from tokensieve.storage.cache import cache_home
from tokensieve.storage.disk import disk_errors, sync
from tokensieve.storage.scratch import scratch_directory

_AT_ONCE = 8
_BLOCK_BYTES = 8 << 20
_FREE_SHARE = 0.1
"""Of the disk: what copies leave to others."""
_GONE = ".gone"


def fetched_model(address: str, s3: S3Settings) -> str:
    """Return a directory of this machine with the files at an s3:// address, as they are now.

    They are fetched once; processes that come meanwhile wait. Raises InputError if that is no model
    that is safe to load, or is replaced meanwhile; ResourceError if there is no room for it.
    """
    files = _listed(address, s3)
    id = content_id(
        {
            "endpoint": s3.endpoint,
            "address": address,
            "files": {name: [each.num_bytes, each.found.etag] for name, each in files.items()},
        }
    )
    copies = _copies()
    copy = copies / id / address.rstrip("/").rpartition("/")[2]
    _use(copies / f"{id}.use")  # from now on nobody removes it
    if not copy.is_dir():
        with _alone(copies / f"{id}.fetch"):
            if not copy.is_dir():
                _fetch(address, files, copy)
    return str(copy)


def _listed(address: str, s3: S3Settings) -> dict[str, S3Object]:
    """Return the objects below an address by their names below it; InputError if one is unsafe."""
    objects = list_objects(address, s3, into_folders=True).files
    if not objects:
        raise InputError(
            f"{address}: nothing lies there. A model is given as a directory; copy one there with "
            "all its files."
        )
    num_before = len(f"{address.rstrip('/')}/".split("/", 3)[3])
    files = {each.key[num_before:]: each for each in objects}
    for name, each in files.items():
        if not name.isprintable() or {"", ".", ".."} & set(name.split("/")):
            raise InputError(f"{address}: {shortened(name)} can be no name of a file. Rename it.")
        check_kind(str(each))
    return files


def _fetch(address: str, files: dict[str, S3Object], copy: Path) -> None:
    """Make the copy: fetched beside it, looked through, and then renamed."""
    copies = copy.parent.parent
    num_bytes = sum(each.num_bytes for each in files.values())
    _make_room(copies, num_bytes, address)
    with scratch_directory(copies) as scratch:
        here = scratch / copy.parent.name / copy.name
        with disk_errors(copy, num_bytes):
            _download(files, here)
        try:
            check_model_directory(str(here))
        except InputError as error:
            raise InputError(str(error).replace(str(here), address)) from None
        here.parent.rename(copy.parent)


def _download(files: dict[str, S3Object], directory: Path) -> None:
    """Write the objects below the directory, a few blocks at a time."""
    for name, each in files.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            file.truncate(each.num_bytes)
    threads = ThreadPoolExecutor(_AT_ONCE)
    try:
        for name, each in files.items():
            starts = range(0, each.num_bytes, _BLOCK_BYTES)
            blocks = [(each, start, directory / name) for start in starts]
            for _ in threads.map(lambda block: _write_block(*block), blocks):
                pass
            sync(directory / name)  # a name that lasts may not stand for bytes that do not
    finally:
        threads.shutdown(cancel_futures=True)


def _write_block(found: S3Object, start: int, path: Path) -> None:
    data = found.read(start, min(start + _BLOCK_BYTES, found.num_bytes))
    with path.open("r+b") as file:
        file.seek(start)
        file.write(data)


def _make_room(copies: Path, num_bytes: int, address: str) -> None:
    """Remove copies that nobody uses until there is room; ResourceError if there is too little."""
    for left in copies.glob(f"*{_GONE}"):
        shutil.rmtree(left, ignore_errors=True)
    wanted = num_bytes + _FREE_SHARE * shutil.disk_usage(copies).total
    for lock in sorted(copies.glob("*.use"), key=lambda path: path.stat().st_mtime):
        if shutil.disk_usage(copies).free < wanted:
            with suppress(BlockingIOError), lock.open("rb+") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                _remove(lock.with_suffix(""))
    free = shutil.disk_usage(copies).free
    if free < num_bytes:
        raise ResourceError(
            f"{address}: {num_bytes:,} bytes are to be copied to {copies}, and {free:,} are free. "
            "Free some space, or set XDG_CACHE_HOME to a larger disk."
        )


def _remove(copy: Path) -> None:
    """Remove a copy, of which nobody ever finds a part. Renaming works on a full disk too."""
    gone = copy.with_suffix(_GONE)
    with suppress(OSError):  # it went before, or another process still removes an earlier one
        copy.rename(gone)
    shutil.rmtree(gone, ignore_errors=True)


@cache
def _use(lock: Path) -> BinaryIO:
    """Return the lock's file, locked until this process ends, beside all others that use it."""
    file = lock.open("ab")
    fcntl.flock(file, fcntl.LOCK_SH)
    os.utime(lock)
    return file


@contextmanager
def _alone(lock: Path) -> Iterator[None]:
    """Hold the lock alone, after all who have it now."""
    with lock.open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _copies() -> Path:
    """Return the directory of the copies."""
    copies = cache_home() / "models"
    copies.mkdir(exist_ok=True)
    return copies
