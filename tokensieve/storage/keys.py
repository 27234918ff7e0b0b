"""What a key may look like: a `/`-separated name below the root of a workspace."""

import re

KEY_PART = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


def key_parts(key: str) -> list[str]:
    """Return the parts of `key`. Keys are made by our code, so a wrong one is our error."""
    parts = key.split("/")
    assert all(map(KEY_PART.fullmatch, parts)), f"not a storage key: {key!r}"
    return parts
