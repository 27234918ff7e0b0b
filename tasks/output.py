"""Write a file that somebody asked for: whole, or not at all."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tokensieve.errors import ResourceError


@contextmanager
def replaced(path: Path) -> Iterator[Path]:
    """Yield a file to write beside `path`; it takes the place of `path` if all went well.

    Raises ResourceError if it cannot be written.
    """
    partial = path.with_name(f".{secrets.token_hex(8)}.tmp")  # nobody can put a link there before
    try:
        yield partial
        partial.replace(path)
    except OSError as error:
        reason = error.strerror or error
        raise ResourceError(
            f"{path}: could not be written: {reason}. Give another place, or mend this one."
        ) from None
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
