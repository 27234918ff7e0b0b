"""The hash that names and verifies every file."""

import hashlib
from pathlib import Path

from tokensieve.errors import DamagedError


def sha256_hex(data: bytes) -> str:
    """Return the SHA-256 of `data` as 64 hex digits."""
    return hashlib.sha256(data).hexdigest()


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file of any size as 64 hex digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def changed(place: object, wanted: str, found: str) -> DamagedError:
    """Return what to tell of a file whose hash is not the one that was published."""
    return DamagedError(
        f"{place}: its content changed after it was published "
        f"(wanted sha256 {wanted[:16]}, found {found[:16]})."
    )
