"""Immutable files under one root: create-if-absent, verified read, probe.

A key is a `/`-separated name below the root. Nothing is ever overwritten, and a name never becomes
visible before its bytes are on disk: temporary file, fsync, link, fsync of the directory.
"""

import hashlib
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from tokensieve.errors import DamagedError, ResourceError, SettingsError
from tokensieve.storage.disk import check_links, disk_errors, link, sync, write_synced
from tokensieve.storage.hashing import changed, sha256_hex
from tokensieve.storage.keys import KEY_PART, key_parts
from tokensieve.storage.listing import Leftover, StoredFile
from tokensieve.storage.locking import file_lock
from tokensieve.storage.probing import PROBE_PREFIX, is_probe
from tokensieve.storage.scratch import SCRATCH_PREFIX, is_held, scratch_directory


@dataclass(frozen=True)
class LocalStorage:
    """A directory on a local or shared disk that can make hard links."""

    root: Path

    def __str__(self) -> str:
        """Return the directory."""
        return str(self.root)

    def place(self, key: str) -> str:
        """Return the path of `key`."""
        return str(self.path(key))

    def local(self, key: str) -> Path:
        """Return the path of `key`; raise FileNotFoundError if it does not exist."""
        path = self.path(key)
        if not path.exists():
            raise FileNotFoundError(path)
        return path

    def path(self, key: str) -> Path:
        """Return where `key` lies; DamagedError if it is no name in a workspace."""
        return self.root.joinpath(*key_parts(key))

    def exists(self, key: str) -> bool:
        """Return whether `key` has been created."""
        return self.path(key).exists()

    def names(self, key: str) -> list[str]:
        """Return the sorted names directly below `key`; empty if there is none.

        For people and clean-up only: no decision about what is done may rest on a listing.
        """
        directory = self.path(key)
        if not directory.is_dir():
            return []
        return sorted(entry.name for entry in directory.iterdir() if KEY_PART.fullmatch(entry.name))

    def files(self, key: str) -> Iterator[StoredFile]:
        """Yield every file below `key` whose name can be a key; for clean-up only, as `names`."""
        now = self._now()
        for path in _files_below(self.path(key)):
            parts = path.relative_to(self.root).parts
            if all(map(KEY_PART.fullmatch, parts)):
                with suppress(FileNotFoundError):  # it went meanwhile
                    status = path.stat()
                    yield StoredFile("/".join(parts), status.st_size, now - status.st_mtime)

    def leftovers(self) -> Iterator[Leftover]:
        """Yield probes, and temporary files and directories that no living process holds."""
        now = self._now()
        for path in chain(self.root.rglob(f"{SCRATCH_PREFIX}*"), self._probes()):
            folders = path.relative_to(self.root).parts[:-1]
            if is_held(path) or any(each.startswith(SCRATCH_PREFIX) for each in folders):
                continue
            with suppress(FileNotFoundError):
                files = list(_files_below(path)) if path.is_dir() else [path]
                num_bytes = sum(file.stat().st_size for file in files)
                youngest = max(file.stat().st_mtime for file in [path, *files])
                key = str(path.relative_to(self.root))
                yield Leftover(key, num_bytes, now - youngest, handle=str(path))

    def discard(self, leftover: Leftover) -> None:
        """Remove a temporary file or a scratch directory, if it is still there."""
        path = Path(leftover.handle)
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)

    def create(self, key: str, data: bytes) -> bool:
        """Create `key` with `data` unless it exists; return whether this call created it.

        When it returns, durable bytes stand under the name: ours if True, somebody's if False.
        Raises ResourceError if they could not be written.
        """
        final = self.path(key)
        partial = _partial(final)
        with disk_errors(final, len(data)):
            self._make_directory(final.parent)
            try:
                write_synced(partial, data)
                return link(partial, final)
            finally:
                partial.unlink(missing_ok=True)

    def create_from(self, key: str, ready: Path) -> bool:
        """Create `key` with the closed file `ready`, made in `scratch`, like `create`.

        For files that are too large to be held in memory.
        """
        final = self.path(key)
        with disk_errors(final, ready.stat().st_size):
            self._make_directory(final.parent)
            sync(ready)
            return link(ready, final)

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        """Yield a new directory on the disk of the root, removed at the end of the block.

        Those that killed processes left are removed first.
        """
        self._make_directory(self.root)
        with scratch_directory(self.root) as directory:
            yield directory

    def remove(self, key: str) -> None:
        """Remove `key` if it exists. For what no document names, such as old checkpoints."""
        self.path(key).unlink(missing_ok=True)

    def replace(self, key: str, ready: Path) -> None:
        """Put the closed file `ready` in the place of `key`, atomically.

        For derived files only (the index); readers keep the file they had open.
        """
        final = self.path(key)
        with disk_errors(final, ready.stat().st_size):
            self._make_directory(final.parent)
            sync(ready)
            ready.replace(final)
            sync(final.parent)

    def version(self, key: str) -> str | None:
        """Return what changes whenever `key` is replaced, or None if it does not exist."""
        try:
            status = self.path(key).stat()
        except FileNotFoundError:
            return None
        return f"{status.st_ino}-{status.st_size}-{status.st_mtime_ns}"

    def replace_version(self, key: str, ready: Path, version: str | None) -> bool:
        """Replace `key` like `replace` if `version` still stands there; return whether it did.

        Safe from other writers only under the `lock` of the key.
        """
        if self.version(key) != version:
            return False
        self.replace(key, ready)
        return True

    @contextmanager
    def lock(self, key: str) -> Iterator[None]:
        """Keep every other process that takes this lock waiting; the file lies beside `key`."""
        directory = self.path(key).parent
        self._make_directory(directory)
        with file_lock(directory / ".lock", self.place(key)):
            yield

    def replace_bytes(self, key: str, data: bytes) -> None:
        """Put `data` in the place of `key`, atomically. For derived files only, as `replace`."""
        final = self.path(key)
        partial = _partial(final)
        with disk_errors(final, len(data)):
            self._make_directory(final.parent)
            try:
                write_synced(partial, data)
                partial.replace(final)
            finally:
                partial.unlink(missing_ok=True)
            sync(final.parent)

    def read(self, key: str) -> bytes | None:
        """Return the bytes of `key`, or None if it does not exist.

        Raises ResourceError if it exists and cannot be read.
        """
        try:
            return self.path(key).read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise _unreadable(self.path(key), error) from error

    def read_range(self, key: str, start: int, end: int) -> bytes:
        """Return the bytes of `key` from `start` to before `end`.

        Raises DamagedError if it is missing, ResourceError if it cannot be read.
        """
        path = self.path(key)
        try:
            with path.open("rb") as file:
                file.seek(start)
                return file.read(end - start)
        except FileNotFoundError:
            raise DamagedError(f"{path}: is missing.") from None
        except OSError as error:
            raise _unreadable(path, error) from error

    def read_verified(self, key: str, sha256: str) -> bytes:
        """Return the bytes of `key`; raise DamagedError if it is missing or its hash differs."""
        data = self.read(key)
        if data is None:
            raise DamagedError(f"{self.path(key)}: is missing.")
        if sha256_hex(data) != sha256:
            raise changed(self.path(key), sha256, sha256_hex(data))
        return data

    def verify(self, key: str, sha256: str) -> int:
        """Return the size of `key`, of which little is held at a time.

        Raises DamagedError if it is missing or its hash differs, ResourceError if it cannot be
        read.
        """
        path = self.path(key)
        try:
            with path.open("rb") as file:
                size = os.fstat(file.fileno()).st_size
                found = hashlib.file_digest(file, "sha256").hexdigest()
        except FileNotFoundError:
            raise DamagedError(f"{path}: is missing.") from None
        except OSError as error:
            raise _unreadable(path, error) from error
        if found != sha256:
            raise changed(path, sha256, found)
        return size

    def probe(self) -> None:
        """Create the root and check that it can link and sync; raise SettingsError if it cannot."""
        if any(character in str(self.root) for character in "*?[]"):
            raise SettingsError(f"{self.root}: a workspace path may not contain any of * ? [ ]")
        mine, other = (self.root / f".tmp-probe-{secrets.token_hex(4)}" for _ in range(2))
        try:
            self._make_directory(self.root)
            write_synced(mine, b"probe")
            os.link(mine, other)
        except OSError as error:
            raise SettingsError(
                f"{self.root}: cannot be used as a workspace: {error.strerror}. "
                "Choose a directory that you can write to, on a disk that allows hard links."
            ) from None
        finally:
            for path in (mine, other):
                with suppress(OSError):  # the first one says what is wrong
                    path.unlink(missing_ok=True)

    def check_is_there(self) -> None:
        """Raise SettingsError if there is no such directory."""
        if not self.root.is_dir():
            raise SettingsError(
                f"{self.root}: no workspace is there. Give the one of your run by --workspace."
            )

    def check_room(self, num_bytes: int) -> None:
        """Raise ResourceError if the disk of the root has less than `num_bytes` free."""
        free = shutil.disk_usage(self.root).free
        if free < num_bytes:
            raise ResourceError(
                f"{self.root}: about {num_bytes:,} bytes will be written, but {free:,} are free. "
                "Free some space or choose another --workspace."
            )

    def _probes(self) -> Iterator[Path]:
        """Yield the files that only a check of the workspace can have written."""
        for path in sorted(self.root.glob(f"{PROBE_PREFIX}*")):
            if is_probe(path.name) and path.is_file():
                yield path

    def _now(self) -> float:
        """Return the time by the clock that stamps the files of this disk."""
        mark = _partial(self.root / "clock")
        mark.touch()
        now = mark.stat().st_mtime
        mark.unlink()
        return now

    def _make_directory(self, directory: Path) -> None:
        """Create `directory` and make its name durable; no other user's link is followed."""
        if directory.is_dir():
            check_links(self.root, directory)
            return
        self._make_directory(directory.parent)
        directory.mkdir(exist_ok=True)
        sync(directory.parent)


def _files_below(directory: Path) -> Iterator[Path]:
    for folder, _, names in os.walk(directory):
        yield from (Path(folder, name) for name in names)


def _unreadable(path: Path, error: OSError) -> ResourceError:
    return ResourceError(
        f"{path}: cannot be read: {error.strerror}. Check the disk and permissions, then run the "
        "same command again."
    )


def _partial(final: Path) -> Path:
    """Return a new name beside `final`, under which its bytes are written first."""
    return final.with_name(f"{SCRATCH_PREFIX}{os.getpid()}-{secrets.token_hex(4)}")
