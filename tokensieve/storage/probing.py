"""Keys that only a check of a workspace writes: what they are called, and that they go again."""

import re
import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress

from tokensieve.errors import TokensieveError
from tokensieve.storage.protocol import Storage

PROBE_PREFIX = "probe-"
_PROBE = re.compile(rf"{PROBE_PREFIX}[0-9a-f]{{16}}(-[0-9a-f]{{1,16}})?")


def new_probe() -> str:
    """Return a key that nobody else has."""
    return f"{PROBE_PREFIX}{secrets.token_hex(8)}"


def answer_to(probe: str, node: str) -> str:
    """Return the key by which the node of this id, in hex digits, says that it sees the probe."""
    return f"{probe}-{node[:16]}"


def is_probe(key: str) -> bool:
    """Return whether only a check can have written the key."""
    return _PROBE.fullmatch(key) is not None


@contextmanager
def removed_after(storage: Storage, keys: Iterable[str]) -> Iterator[None]:
    """Remove the keys at the end of the block. Of two things that go wrong the first is told."""
    try:
        yield
    except BaseException:
        with suppress(TokensieveError, OSError):  # what is left, gc finds
            _remove(storage, keys)
        raise
    _remove(storage, keys)


def _remove(storage: Storage, keys: Iterable[str]) -> None:
    for key in keys:
        storage.remove(key)
