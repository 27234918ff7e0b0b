"""The explorer as a browser meets it: a real server on a free port, and what a page holds."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from html.parser import HTMLParser

import httpx

from tasks.explore.app import Explorer
from tasks.explore.server import Server
from tokensieve.storage import Storage

TOKEN, ROOT = "token-of-the-terminal", "/0123abcd"


class Parsed(HTMLParser):
    """A page as a browser takes it apart."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.rows: list[list[str]] = []
        """Of its tables, headings included: the text of each cell."""
        self._is_in_cell = False
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag == "tr":
            self.rows.append([])
        elif tag in ("th", "td"):
            self.rows[-1].append("")
            self._is_in_cell = True

    def handle_endtag(self, tag):
        if tag in ("th", "td"):
            self._is_in_cell = False

    def handle_data(self, data):
        self.text += data
        if self._is_in_cell:
            self.rows[-1][-1] += data.strip()

    def links(self, page: str) -> list[str]:
        """Return the addresses that lead to a page."""
        found = [attributes.get("href") or "" for tag, attributes in self.tags if tag == "a"]
        return [address for address in found if address.partition("?")[0] == page]


@contextmanager
def serving(storage: Storage) -> Iterator[httpx.Client]:
    """Yield a client that was let in to the pages of the workspace, and speaks as one of them."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = Server(Explorer(storage, ROOT), TOKEN, ROOT)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        origin = f"http://127.0.0.1:{listener.getsockname()[1]}"
        try:
            with httpx.Client(base_url=f"{origin}{ROOT}/", timeout=60.0) as client:
                client.headers["origin"] = origin
                client.get("", params={"token": TOKEN})
                yield client
        finally:
            server.handle_exit(2, None)
            thread.join()


def parsed(answer: httpx.Response, status: int = 200) -> Parsed:
    """Return the page of an answer, which has to have this status."""
    assert answer.status_code == status, answer.text
    return Parsed(answer.text)
