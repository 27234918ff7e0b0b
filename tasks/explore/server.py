"""Listens on loopback for one browser, says where, and ends at once."""

import os
import secrets
import socket
import sys
import tempfile
import webbrowser
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType

import uvicorn

from tasks.explore.app import Explorer
from tasks.explore.guard import Guard
from tokensieve.errors import ResourceError, SettingsError
from tokensieve.storage import Storage

_HOST = "127.0.0.1"
_BACKLOG = 64
_MAX_SECONDS_TO_END = 5
DOOR = """<!doctype html>
<meta charset="utf-8">
<meta name="referrer" content="no-referrer">
<meta http-equiv="refresh" content="0; url={address}">
<title>tokensieve explore</title>
"""
"""A page that leads a browser to the address."""


class Server(uvicorn.Server):
    """A server whose questions end with it."""

    def __init__(self, explorer: Explorer, token: str, root: str) -> None:
        """Take the pages, the token that lets in, and the path that they are below."""
        app = Guard(explorer.app, token, root)
        super().__init__(
            uvicorn.Config(
                app,
                lifespan="off",
                ws="none",
                timeout_graceful_shutdown=_MAX_SECONDS_TO_END,
                log_level="warning",
                access_log=False,
                server_header=False,
                proxy_headers=False,
            )
        )
        self._explorer = explorer

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Stop: nobody waits for answers any more."""
        self._explorer.give_up()
        super().handle_exit(sig, frame)


def explore(storage: Storage, port: int, opens_browser: bool) -> None:
    """Show the workspace to a browser on this machine until Ctrl-C; `port` 0: one that is free.

    The address goes to stdout, on a line of its own, as soon as it can be opened. Raises
    SettingsError for a port that cannot be listened on.
    """
    token, root = secrets.token_urlsafe(32), f"/{secrets.token_hex(4)}"
    with _listening(port) as listener, tempfile.TemporaryDirectory(prefix="tokensieve-") as door:
        address = f"http://{_HOST}:{listener.getsockname()[1]}{root}/?token={token}"
        print(address, flush=True)
        if opens_browser and _has_browser():
            _open(address, Path(door, "explore.html"))
        with suppress(KeyboardInterrupt):
            Server(Explorer(storage, root), token, root).run(sockets=[listener])


@contextmanager
def _listening(port: int) -> Iterator[socket.socket]:
    """Yield a socket that browsers of this machine can connect to already."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((_HOST, port))
            listener.listen(_BACKLOG)
        except (OSError, OverflowError) as error:
            reason = getattr(error, "strerror", None) or str(error).rstrip(".")
            raise SettingsError(
                f"--port: {port} cannot be listened on: {reason}. Without the flag a "
                "free one is found."
            ) from None
        yield listener


def _has_browser() -> bool:
    """Return whether a window could open: a browser in this terminal would take it over."""
    return sys.platform == "darwin" or any(map(os.environ.get, ("DISPLAY", "WAYLAND_DISPLAY")))


def _open(address: str, door: Path) -> None:
    """Open the address by a file that only this user reads: all users see what is started how."""
    try:
        door.write_text(DOOR.format(address=address), encoding="utf-8")
        webbrowser.open(door.as_uri())
    except (OSError, webbrowser.Error) as error:
        raise ResourceError(f"{door}: the browser could not be opened: {error}") from None
