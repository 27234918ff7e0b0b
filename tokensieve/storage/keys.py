"""What a key may look like: a `/`-separated name below the root of a workspace."""

import re

from tokensieve.errors import DamagedError, shortened

KEY_PART = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


def key_parts(key: str) -> list[str]:
    """Return the parts of `key`, none of which leads out of the root.

    Keys are made by our code, of ids that documents say; so DamagedError is raised for a wrong one.
    """
    parts = key.split("/")
    if not all(map(KEY_PART.fullmatch, parts)):
        raise DamagedError(
            f"{shortened(key, 200)}: is no name in a workspace, but a document of it says so. It "
            "was edited; bring the original back."
        )
    return parts
