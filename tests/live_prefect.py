"""A Prefect server with a password, and a worker: processes like those of a real installation."""

import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

import httpx
import psutil

SECONDS = 240.0
"""Long enough for any step on a busy machine."""
HEARTBEAT_SECONDS = 30
"""The least that Prefect allows."""


@dataclass
class LivePrefect:
    """A server on a free port of this machine, and what it needs to be asked."""

    home: Path
    port: int
    password: str = field(default_factory=lambda: f"admin:{secrets.token_hex(8)}")
    _client: str = field(default_factory=lambda: str(uuid4()))

    @property
    def address(self):
        return f"http://127.0.0.1:{self.port}"

    @property
    def environment(self):
        return {
            **{name: value for name, value in os.environ.items() if name[:8] != "PREFECT_"},
            "PREFECT_HOME": str(self.home),
            "PREFECT_API_URL": f"{self.address}/api",
            "PREFECT_API_AUTH_STRING": self.password,
            "PREFECT_SERVER_API_AUTH_STRING": self.password,
            "PREFECT_SERVER_UI_API_URL": f"{self.address}/api",
            "PREFECT_SERVER_API_CORS_ALLOWED_ORIGINS": self.address,
            "PREFECT_SERVER_API_CSRF_PROTECTION_ENABLED": "true",
            "PREFECT_CLIENT_CSRF_SUPPORT_ENABLED": "true",
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "PREFECT_SERVER_SERVICES_SCHEDULER_LOOP_SECONDS": "5",
            "PREFECT_WORKER_QUERY_SECONDS": "2",
            "DO_NOT_TRACK": "1",
        }

    def ask(self, path, **body):
        """Return the server's answer to a question of its API."""
        user, _, word = self.password.partition(":")
        url = f"{self.address}/api/{path}"
        with httpx.Client(auth=(user, word), timeout=60) as client:
            if body:  # may change something, so a page of another site must not be able to ask
                asked = {"client": self._client}
                token = client.get(f"{self.address}/api/csrf-token", params=asked).json()["token"]
                headers = {"Prefect-Csrf-Client": self._client, "Prefect-Csrf-Token": token}
                answer = client.post(url, json=body, headers=headers)
            else:
                answer = client.get(url)
        answer.raise_for_status()
        return answer.json()

    def command(self, *arguments, **environment):
        """Run a command of Prefect's from the root of the project; return what it prints."""
        done = subprocess.run(
            [sys.executable, "-m", "prefect", *arguments],
            env=self.environment | environment,
            capture_output=True,
            text=True,
            timeout=SECONDS,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def runs(self, deployment):
        """Return the flow runs of a deployment, the earliest first."""
        return self.ask(
            "flow_runs/filter",
            deployments={"name": {"any_": [deployment]}},
            sort="EXPECTED_START_TIME_ASC",
            limit=200,
        )

    @contextmanager
    def started(self, name, *arguments):
        """Run a command of Prefect's beside the block, with all that it starts."""
        with (self.home / f"{name}.log").open("w") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "prefect", *arguments],
                env=self.environment,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            yield process
        finally:
            end(process, signal.SIGTERM)

    @contextmanager
    def worker(self):
        """Run a worker of the work pool beside the block."""
        with self.started("worker", "worker", "start", "--pool", "tokensieve") as process:
            yield process


@contextmanager
def live_prefect(home: Path):
    """Yield a server that answers."""
    home.mkdir()
    server = LivePrefect(home, free_port())
    where = ("--host", "127.0.0.1", "--port", str(server.port))
    with server.started("server", "server", "start", *where) as process:
        wait_until(lambda: _answers(server), process, home / "server.log")
        yield server


def end(process, how):
    """Send a signal to a process and to everything below it, and wait for their end."""
    with suppress(psutil.NoSuchProcess):
        everything = psutil.Process(process.pid).children(recursive=True)
        for each in (psutil.Process(process.pid), *everything):
            with suppress(psutil.NoSuchProcess):
                each.send_signal(how)
        _, alive = psutil.wait_procs(everything, timeout=20)
        for each in alive:
            with suppress(psutil.NoSuchProcess):
                each.kill()
    process.wait(timeout=30)


def wait_until(is_so, process, log, seconds=SECONDS):
    """Return what `is_so` gives once that is true; the process must live as long."""
    deadline = time.monotonic() + seconds
    while not (found := is_so()):
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()[-4000:]
        time.sleep(0.5)
    return found


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def _answers(server):
    with suppress(httpx.TransportError, httpx.HTTPStatusError):
        return server.ask("admin/version")
    return None
