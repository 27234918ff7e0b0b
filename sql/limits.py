"""What a question may take: seconds, and bytes on the disk."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb

from tokensieve.errors import ResourceError

MAX_SPILLED_BYTES = 20 * 10**9
"""What a question may write of what does not fit into its memory. DuckDB has a setting for it,
max_temp_directory_size, and does not keep to it."""
_TOO_MUCH = (
    f"when it had written {MAX_SPILLED_BYTES / 1e9:g} GB that did not fit into memory. Ask for "
    "less: name run and round, or some of the sources or samples."
)
_LOOK_SECONDS = 0.1


@contextmanager
def within_limits(
    connection: duckdb.DuckDBPyConnection,
    spill: Path,
    max_seconds: float,
    given_up: threading.Event | None = None,
) -> Iterator[None]:
    """Interrupt the connection when it has run for `max_seconds`, has written too much to the
    directory `spill`, or nobody waits for it any more; raise ResourceError.
    """
    deadline, done = time.monotonic() + max_seconds, threading.Event()
    exceeded: list[str] = []

    def watch() -> None:
        while not done.wait(_LOOK_SECONDS):
            if time.monotonic() > deadline:
                exceeded.append(f"after {max_seconds:g} s. Ask for less, or allow more time.")
            elif _num_bytes(spill) > MAX_SPILLED_BYTES:
                exceeded.append(_TOO_MUCH)
            elif given_up and given_up.is_set():
                exceeded.append("because nobody waits for it any more.")
            if exceeded:
                connection.interrupt()  # again and again: between two statements it would be lost

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    except duckdb.InterruptException:
        raise ResourceError(f"the query: was stopped {exceeded[0]}") from None
    finally:
        done.set()
        watcher.join()


def _num_bytes(directory: Path) -> int:
    return sum(map(_size, directory.iterdir()))


def _size(file: Path) -> int:
    """Return the bytes of a file; 0 if it is gone meanwhile."""
    try:
        return file.stat().st_size
    except FileNotFoundError:
        return 0
