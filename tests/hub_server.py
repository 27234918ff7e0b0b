"""A hub that takes datasets: the few requests of the Hugging Face hub that a push makes."""

import base64
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

COMMIT = "0" * 40


@dataclass
class Hub:
    """What was sent to it."""

    address: str = ""
    private: dict[str, bool] = field(default_factory=dict)
    """Of each dataset that is there, by its name."""
    files: dict[str, bytes] = field(default_factory=dict)
    commits: int = 0
    tokens: set[str] = field(default_factory=set)
    """What requests about a dataset were authorised with."""

    def answer(self, path: str, body: bytes) -> dict[str, Any] | None:
        """Return the answer to a request, None if there is nothing of that name."""
        name = "/".join(path.removeprefix("/api/datasets/").split("/")[:2])
        if path == "/api/repos/create":
            asked = json.loads(body)
            name = f"{asked.get('organization') or 'me'}/{asked['name']}"
            self.private.setdefault(name, asked["visibility"] == "private")
            return {"url": f"{self.address}/datasets/{name}"}
        if path == "/api/validate-yaml":
            return {"warnings": [], "errors": []}
        if name not in self.private:
            return None
        if "/preupload/" in path:
            files = [each["path"] for each in json.loads(body)["files"]]
            modes = [{"path": each, "uploadMode": "regular"} for each in files]
            return {"files": [mode | {"shouldIgnore": False, "oid": None} for mode in modes]}
        if "/commit/" in path:
            self._commit(body)
            place = f"{self.address}/datasets/{name}/commit/{COMMIT}"
            return {"success": True, "commitOid": COMMIT, "commitUrl": place}
        return {"id": name, "private": self.private[name], "sha": COMMIT, "siblings": []}

    def _commit(self, body: bytes) -> None:
        for line in map(json.loads, body.splitlines()):
            if line["key"] == "file":
                self.files[line["value"]["path"]] = base64.b64decode(line["value"]["content"])
        self.commits += 1


@contextmanager
def running_hub() -> Iterator[Hub]:
    """Yield a hub that listens on this machine."""
    hub = Hub()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            if self.path.startswith(("/api/repos/", "/api/datasets/")):
                hub.tokens.add(self.headers.get("authorization", ""))
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            answer = hub.answer(self.path.split("?")[0], body)
            data = json.dumps(answer).encode()
            self.send_response(404 if answer is None else 200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def do_GET(self) -> None:
            self.do_POST()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hub.address = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    yield hub
    server.shutdown()
    server.server_close()
