"""What those get who reach our ports without being asked: other users, and pages in a browser."""

import http.client
import ipaddress
import json
import os
import socket
import time
from contextlib import suppress
from pathlib import Path

import httpx
import psutil
import pytest
import ray
import websockets.sync.client
from websockets.exceptions import InvalidStatus

from ray_cluster.cluster import connect
from tests.live_prefect import live_prefect
from tests.scripts import run_script
from tokensieve.settings import ClusterSettings

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
REFUSED = {401, 403}
FOREIGN = [
    {"Host": "evil.example"},
    {"Origin": "https://evil.example", "User-Agent": "curl/8"},
    {"Host": "evil.example", "Origin": "https://evil.example", "User-Agent": "Mozilla/5.0"},
]
"""What a page sends whose name was made to lead to this machine, and one of another site."""
SOCKETS = ("events/in", "events/out", "logs/out", "events/in/health", "events/ready")


def listeners(*processes):
    """Return address and port of everything that the processes, or any below them, listen to."""
    found = set()
    for process in processes:
        for each in (process, *process.children(recursive=True)):
            with suppress(psutil.NoSuchProcess):
                connections = each.net_connections("inet")
                found |= {c.laddr for c in connections if c.status == psutil.CONN_LISTEN}
                found |= {c.laddr for c in connections if c.type == socket.SOCK_DGRAM and c.laddr}
    return found


def is_loopback(ip):
    address = ipaddress.ip_address(ip)
    return (getattr(address, "ipv4_mapped", None) or address).is_loopback


def answer(port, method, path, headers):
    """Return the status and the headers of an HTTP answer, or None where no HTTP is spoken."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.request(method, path, headers=headers)
        found = connection.getresponse()
    except (http.client.BadStatusLine, ConnectionError):
        return None
    else:
        return found.status, dict(found.getheaders())
    finally:
        connection.close()


@pytest.fixture(scope="module")
def cluster_ports(ray_cluster):
    """Start a cluster of our own; return where it listens, and those ports that speak HTTP."""
    before = listeners(psutil.Process())
    connect(ClusterSettings())
    log = Path(ray._private.worker._global_node.get_logs_dir_path()) / "monitor.log"
    while not (log.exists() and "Monitor: Started" in log.read_text()):  # the last to be up
        time.sleep(0.1)
    found = listeners(psutil.Process()) - before
    ports = sorted({each.port for each in found})
    return found, [port for port in ports if answer(port, "GET", "/", {}) is not None]


def test_a_cluster_of_our_own_listens_on_loopback_only(cluster_ports):
    found, _ = cluster_ports

    assert len(found) >= 4  # head, node and driver
    assert [each for each in found if not is_loopback(each.ip)] == []


def test_a_cluster_of_our_own_has_no_dashboard_and_its_only_http_port_wants_the_token(
    cluster_ports,
):
    _, [agent] = cluster_ports  # that of runtime environments

    for path in ("/", "/api/version", "/api/jobs/", "/api/healthz", "/metrics", "/nodes"):
        for headers in ({}, {"Authorization": "Bearer wrong"}, *FOREIGN):
            for method in METHODS:
                status, given = answer(agent, method, path, headers)
                assert status in REFUSED, (method, path, headers)
                assert "access-control-allow-origin" not in {name.lower() for name in given}


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """Yield a Prefect server with the settings of docs/deployment.md."""
    with live_prefect(tmp_path_factory.mktemp("live") / "prefect") as server:
        yield server


@pytest.mark.slow
def test_a_prefect_server_listens_on_loopback_only(server):
    children = psutil.Process().children()
    processes = [each for each in children if str(server.port) in each.cmdline()]

    assert {(each.ip, each.port) for each in listeners(*processes)} == {("127.0.0.1", server.port)}


@pytest.mark.slow
def test_every_path_of_prefect_wants_the_password_but_those_that_say_it_is_alive(server):
    paths = httpx.get(f"{server.address}/openapi.json").json()["paths"]
    asked = {(method, path) for path in map(with_words, paths) for method in METHODS}
    asked |= {("GET", f"{path.rstrip('/')}/{word}") for _, path in asked for word in WORDS}

    each_anew = httpx.Limits(max_keepalive_connections=0)  # the server closes what is idle
    with httpx.Client(base_url=f"{server.address}/api", timeout=60, limits=each_anew) as client:
        answers = {(m, path): client.request(m, path).status_code for m, path in sorted(asked)}

    assert len(asked) > 600
    open_to_all = {each for each, status in answers.items() if status not in REFUSED}
    assert open_to_all == {("GET", "/health"), ("GET", "/ready")}


WORDS = ("health", "ready")
"""Where a path ended in one of these, Prefect once asked for no password: CVE-2026-3514."""


def with_words(path):
    """Return a path with one of those words for each of its parameters."""
    parts = path.split("/")
    return "/".join(WORDS[len(parts) % 2] if part.startswith("{") else part for part in parts)


@pytest.mark.slow
@pytest.mark.parametrize("path", SOCKETS)
def test_a_socket_of_prefect_wants_the_password(server, path):
    url = f"ws://127.0.0.1:{server.port}/api/{path}"

    with pytest.raises(InvalidStatus) as refused, websockets.sync.client.connect(url):
        pass

    assert refused.value.response.status_code in REFUSED


@pytest.mark.slow
@pytest.mark.parametrize("headers", FOREIGN)
def test_pages_of_other_sites_are_given_nothing_of_prefect(server, headers):
    asking = {"Access-Control-Request-Method": "POST"}
    with httpx.Client(base_url=server.address, timeout=60, headers=headers) as client:
        answers = [
            client.options("/api/flows/filter", headers=asking),
            client.post("/api/flows/filter", json={}),
            client.get("/api/admin/version"),
            client.get("/api/health"),
        ]

    assert [each.status_code in {400, *REFUSED} for each in answers] == [True, True, True, False]
    assert not any("access-control-allow-origin" in each.headers for each in answers)


TEMPORARY_SERVER = """
import json, os, sys
from pathlib import Path
import httpx, psutil
from prefect.client.orchestration import get_client
from tasks.prefect_session import prefect_session

mask = os.umask(0o022)
with prefect_session():
    [server] = psutil.Process().children()
    with get_client(sync_client=True) as client:
        url = str(client.api_url)
        counted = client.request("POST", "/flows/count", json={}).json()
    foreign = {"Origin": "https://evil.example"}
    asked = [
        httpx.post(f"{url}/flows/count", json={}),
        httpx.post(f"{url}/flows/count", json={}, auth=("tokensieve", "")),
        httpx.get(f"{url}/admin/settings", headers=foreign),
    ]
    page = httpx.options(
        f"{url}/flows/count", headers=foreign | {"Access-Control-Request-Method": "POST"}
    )
    print(json.dumps({
        "counted": counted,
        "statuses": [each.status_code for each in asked],
        "allowed": [each.headers.get("access-control-allow-origin") for each in (*asked, page)],
        "listeners": [c.laddr.ip for c in server.net_connections("inet") if c.status == "LISTEN"],
        "modes": [path.stat().st_mode & 0o077 for path in Path(sys.argv[1]).rglob("prefect.db*")],
        "mask": os.umask(0o022),
    }))
"""


def test_prefects_temporary_server_has_a_password_and_a_closed_database(tmp_path):
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    kept["PREFECT_HOME"] = str(tmp_path)
    kept["PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS"] = "180"

    done = run_script(TEMPORARY_SERVER, tmp_path, environment=kept)

    said = json.loads(done.stdout.splitlines()[-1]) if done.returncode == 0 else done.stderr
    assert said == {
        "counted": 0,
        "statuses": [401, 401, 401],
        "allowed": [None, None, None, None],
        "listeners": ["127.0.0.1"],
        "modes": [0, 0, 0],
        "mask": 0o022,
    }


@pytest.mark.parametrize("mode", ["disabled", "k8s", ""])
def test_no_cluster_is_started_that_asks_for_no_token(mode):
    done = run_script(CONNECT, environment=os.environ | {"RAY_AUTH_MODE": mode})

    last_line = done.stderr.strip().rpartition("\n")[2]
    assert last_line.startswith(f"tokensieve.errors.SettingsError: RAY_AUTH_MODE: is {mode!r}. ")
    assert last_line.endswith("Unset it.")


@pytest.mark.parametrize("given", ["environment", "home"])
def test_a_token_that_others_can_read_is_not_used(tmp_path, given):
    token = tmp_path / ".ray" / "auth_token"
    token.parent.mkdir()
    token.write_text("secret-of-the-cluster")
    token.chmod(0o640)
    kept = {name: value for name, value in os.environ.items() if not name.startswith("RAY_AUTH")}
    where = {"HOME": str(tmp_path)}
    if given == "environment":
        where = {"RAY_AUTH_TOKEN_PATH": str(token)}

    done = run_script(CONNECT, environment=kept | where)

    last_line = done.stderr.strip().rpartition("\n")[2]
    assert f"{token}: others can read it, and run code with it. chmod 600 {token}" in last_line
    assert last_line.startswith("tokensieve.errors.SettingsError: ")
    assert "secret-of-the-cluster" not in done.stderr


CONNECT = """
from ray_cluster.cluster import connect
from tokensieve.settings import ClusterSettings
connect(ClusterSettings())
"""
