"""What every place for a workspace can do."""

from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from tokensieve.storage.listing import Leftover, StoredFile


class Storage(Hashable, Protocol):
    """Immutable files under one root. Frozen, hashable and picklable: a recipe, not a connection.

    A key is a `/`-separated name below the root, made by our code.
    """

    def __str__(self) -> str:
        """Return the root as people know it: a directory, or an s3:// address."""
        ...

    def place(self, key: str) -> str:
        """Return where `key` lies, as people know it."""
        ...

    def local(self, key: str) -> Path:
        """Return a file on this machine with the bytes of `key`, not to be changed.

        Raises FileNotFoundError if `key` does not exist. The file is not verified.
        """
        ...

    def exists(self, key: str) -> bool:
        """Return whether `key` has been created."""
        ...

    def names(self, key: str) -> list[str]:
        """Return the sorted names directly below `key`; empty if there is none.

        For people and clean-up only: no decision about what is done may rest on a listing.
        """
        ...

    def files(self, key: str) -> Iterator[StoredFile]:
        """Yield every file below `key` whose name can be a key; for clean-up only, as `names`."""
        ...

    def leftovers(self) -> Iterator[Leftover]:
        """Yield what killed writers left; what a living process of this machine holds is not."""
        ...

    def discard(self, leftover: Leftover) -> None:
        """Remove what a killed writer left, if it is still there."""
        ...

    def create(self, key: str, data: bytes) -> bool:
        """Create `key` with `data` unless it exists; return whether this call surely created it.

        When it returns, durable bytes stand under the name: ours if True, somebody's if False.
        """
        ...

    def create_from(self, key: str, ready: Path) -> bool:
        """Create `key` with the closed file `ready`, made in `scratch`, like `create`."""
        ...

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        """Yield a new directory on this machine, removed at the end of the block."""
        ...

    def remove(self, key: str) -> None:
        """Remove `key` if it exists. For what no document names, such as old checkpoints."""
        ...

    def replace(self, key: str, ready: Path) -> None:
        """Put the closed file `ready` in the place of `key`, atomically. For derived files only."""
        ...

    def version(self, key: str) -> str | None:
        """Return what changes whenever `key` is replaced, or None if it does not exist."""
        ...

    def replace_version(self, key: str, ready: Path, version: str | None) -> bool:
        """Replace `key` like `replace` if `version` still stands there; return whether it did."""
        ...

    @contextmanager
    def lock(self, key: str) -> Iterator[None]:
        """Keep others who want to replace `key` waiting, as far as this place reaches them.

        Saves work that `replace_version` would find to be in vain. Raises ResourceError if another
        process takes too long.
        """
        ...

    def replace_bytes(self, key: str, data: bytes) -> None:
        """Put `data` in the place of `key`, atomically. For derived files only."""
        ...

    def read(self, key: str) -> bytes | None:
        """Return the bytes of `key`, or None if it does not exist."""
        ...

    def read_range(self, key: str, start: int, end: int) -> bytes:
        """Return the bytes of `key` from `start` to before `end`; DamagedError if it is missing."""
        ...

    def read_verified(self, key: str, sha256: str) -> bytes:
        """Return the bytes of `key`; raise DamagedError if it is missing or its hash differs."""
        ...

    def verify(self, key: str, sha256: str) -> int:
        """Return the size of `key`; raise DamagedError if it is missing or its hash differs."""
        ...

    def probe(self) -> None:
        """Check that a workspace can be kept here; raise SettingsError if it cannot."""
        ...

    def check_is_there(self) -> None:
        """Raise SettingsError if no workspace has been made here."""
        ...

    def check_room(self, num_bytes: int) -> None:
        """Raise ResourceError if less than `num_bytes` can be written."""
        ...
