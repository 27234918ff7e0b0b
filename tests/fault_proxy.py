"""An HTTP proxy in front of a store, which does what networks and stores do on bad days."""

import re
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.message import Message
from email.utils import formatdate
from http.client import HTTPConnection, HTTPResponse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

ANSWERS = {
    "503": (503, "SlowDown", "Please reduce your request rate."),
    "500": (500, "InternalError", "We encountered an internal error. Please try again."),
    "409": (409, "ConditionalRequestConflict", "A conflicting operation occurred."),
    "200err": (200, "InternalError", "We encountered an internal error. Please try again."),
    "gone": (404, "NoSuchUpload", "The specified upload does not exist."),
    "expired": (403, "ExpiredToken", "The provided token has expired."),
    "denied": (403, "AccessDenied", "Access Denied"),
    "skewed": (403, "RequestTimeTooSkewed", "The difference is too large."),
}
FORWARDED = ("dropack", "cut", "flip", "unconditional")
"""What reaches the store: its answer is lost, cut in the middle, has one bit flipped; or the
request is made without its condition, as by a store that knows none."""
NOT_FORWARDED = ("reset", "hang", *ANSWERS)


@dataclass
class Fault:
    """What happens to the requests whose `METHOD /path?query` holds `pattern`."""

    kind: str
    pattern: str = ""
    times: int | None = 1
    """How often; None: for ever."""
    after: int = 0
    """So many requests pass first."""
    then: Callable[[], object] = bool
    """Called each time, before the request goes its way."""
    injected: int = 0
    """How often it happened: a test of a fault asserts that it did."""
    _seen: int = 0

    def __post_init__(self) -> None:
        assert self.kind in (*FORWARDED, *NOT_FORWARDED), self.kind

    def happens_to(self, request: str) -> bool:
        if not re.search(self.pattern, request) or self.injected == self.times:
            return False
        self._seen += 1
        self.injected += self._seen > self.after
        return self._seen > self.after


@dataclass
class FaultProxy:
    """Where to send requests, what to do to them, and those that came."""

    target: str
    endpoint: str = ""
    faults: list[Fault] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    headers: list[Message] = field(default_factory=list)
    stopped: threading.Event = field(default_factory=threading.Event)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def inject(self, kind: str, pattern: str = "", times: int | None = 1, after: int = 0) -> Fault:
        """Let something go wrong from now on; return what counts how often it did."""
        fault = Fault(kind, pattern, times, after)
        self.faults.append(fault)
        return fault

    def planned_for(self, request: str) -> str:
        """Return the kind of fault that happens to the request; empty if it passes."""
        with self.lock:
            self.requests.append(request)
            fault = next((each for each in self.faults if each.happens_to(request)), None)
        if fault is None:
            return ""
        fault.then()
        return fault.kind


@contextmanager
def fault_proxy(target: str) -> Iterator[FaultProxy]:
    """Yield a proxy to the server at the address `target`."""
    proxy = FaultProxy(target)
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"proxy": proxy}))
    server.daemon_threads = True
    proxy.endpoint = "http://{}:{}".format(*server.server_address)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield proxy
    finally:
        proxy.stopped.set()
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    proxy: FaultProxy
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # an answer leaves in one piece

    def handle_expect_100(self) -> bool:
        is_wanted = super().handle_expect_100()
        self.wfile.flush()  # a large body is not sent before
        return is_wanted

    def _serve(self) -> None:
        self.proxy.headers.append(self.headers)
        kind = self.proxy.planned_for(f"{self.command} {self.path}")
        if kind == "reset":
            return self._reset()  # in the middle of the request: its body has not been read
        size = int(self.headers.get("Content-Length", 0))
        body = self.rfile.read(size)
        if len(body) < size:
            return self._reset()  # whoever asked is gone
        if kind == "hang":
            self.proxy.stopped.wait()
            self.close_connection = True
        elif kind in ANSWERS:
            self._answer_error(kind)
        else:
            self._forward(kind, body)

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = _serve  # noqa: N815  as http.server names them

    def _forward(self, kind: str, body: bytes) -> None:
        dropped = {"expect"} | ({"if-none-match", "if-match"} if kind == "unconditional" else set())
        headers = {k: v for k, v in self.headers.items() if k.lower() not in dropped}
        connection = HTTPConnection(urlsplit(self.proxy.target).netloc, timeout=60)
        connection.request(self.command, self.path, body, headers)
        response = connection.getresponse()
        data = response.read()
        connection.close()
        if kind == "dropack":
            return self._reset()
        if kind == "flip" and data:
            data = bytes([data[0] ^ 1]) + data[1:]
        self._answer(response, data[: len(data) // 2] if kind == "cut" else data)
        if kind == "cut":
            self._reset()

    def _answer(self, response: HTTPResponse, data: bytes) -> None:
        self.send_response_only(response.status)
        for name, value in response.getheaders():
            if name.lower() not in ("transfer-encoding", "connection"):
                self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)
        self.wfile.flush()

    def _answer_error(self, kind: str) -> None:
        status, code, message = ANSWERS[kind]
        inside = f"<Code>{code}</Code><Message>{message}</Message>"
        data = f'<?xml version="1.0" encoding="UTF-8"?><Error>{inside}</Error>'.encode()
        data = b"" if self.command == "HEAD" else data
        self.send_response_only(status)
        self.send_header("Date", formatdate(time.time() + 3600 * (kind == "skewed"), usegmt=True))
        self.send_header("Content-Type", "application/xml")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _reset(self) -> None:
        """End the connection so that the other side sees it reset."""
        self.close_connection = True
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()

    def log_message(self, format: str, *arguments: object) -> None:
        """Say nothing: `requests` holds them."""
