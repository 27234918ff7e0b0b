"""The explorer as people start it: the command, a browser that walks through it, and a store."""

import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

import httpx
import pytest

from tasks.explore.server import DOOR
from tests.browser import CHROMIUM, browser
from tests.exploring import TOKEN, parsed, serving
from tests.tiny_reports import finish_reported_run, vocabulary_of
from tests.tiny_workspace import Sample
from tokensieve.storage import LocalStorage, open_storage

ROOT = Path(__file__).resolve().parents[2]
SCREENSHOTS = Path(os.environ.get("TOKENSIEVE_SCREENSHOTS", ROOT / "screenshots"))
ENDLESS = "WITH RECURSIVE r AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM r) SELECT count(*) FROM r"
QUESTION = "SELECT source, kept_share FROM source_stats WHERE round = 1"
LOOKS = {
    "": {},
    "-dark": {"scheme": "dark"},
    "-phone": {"width": 390, "height": 844},
}
ADDRESS = re.compile(r"(http://127\.0\.0\.1:(\d+)/[0-9a-f]{8}/)\?token=[\w-]{43}\n")


WORDS = ("What is 2 + 3?\n", "The", " answer", " is", " 5", ".", " Buy", " now!")
SAMPLES = (
    Sample("sums-1", "sums", (0, 1, 2, 3, 4)),
    Sample("sums-2", "sums", (0, 4, 5, 5)),
    Sample("shop-1", "web shop", (0, 6)),
)


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    storage = LocalStorage(tmp_path_factory.mktemp("workspace"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tests.tiny_workspace.VOCABULARY", vocabulary_of(WORDS))
        finish_reported_run(storage, samples=SAMPLES)
    return storage


@contextmanager
def exploring(storage, scratch, *flags):
    """Yield the process and the line that it prints; in the end it is interrupted, and has said
    and left nothing else."""
    command = [sys.executable, "-m", "flows", "explore", "--workspace", str(storage), *flags]
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(scratch)},
    ) as process:
        try:
            yield process, process.stdout.readline()
        finally:
            process.send_signal(signal.SIGINT)
            said, problems = process.communicate(timeout=60)
    assert (process.returncode, said, problems) == (0, "", "")
    assert list(scratch.iterdir()) == []


def test_the_command_prints_one_line_and_ends_at_once_also_while_it_is_asked(workspace, tmp_path):
    with (
        exploring(workspace, tmp_path, "--no-browser") as (process, line),
        httpx.Client() as client,
    ):
        address, port = ADDRESS.fullmatch(line).groups()
        client.get(line.strip())
        shown = client.get(address).status_code
        asking = threading.Thread(target=ask_for_ever, args=(client, f"{address}query", port))
        asking.start()
        time.sleep(1.0)
        was_asking = asking.is_alive()
        began = time.monotonic()
        process.send_signal(signal.SIGINT)
        process.wait(timeout=60)
        seconds = time.monotonic() - began
        asking.join()

    assert (shown, was_asking) == (200, True)
    assert seconds < 20.0  # the question may take a minute
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", int(port)))


def ask_for_ever(client, address, port):
    headers = {"origin": f"http://127.0.0.1:{port}"}
    with suppress(httpx.HTTPError):  # the server ends
        client.post(address, data={"statement": ENDLESS}, headers=headers, timeout=60.0)


def test_a_workspace_in_a_store_is_explored_like_one_on_a_disk(s3):
    storage = open_storage(s3.address(), s3.settings)
    finish_reported_run(storage)
    with serving(storage) as client:
        samples = parsed(client.get("samples?at=tiny-1:1"))
        map = parsed(client.get("sample?sample=a&at=tiny-1:1"))
        places = parsed(client.get("token?at=tiny-1:1&token_id=1"))
        answer = parsed(client.post("query", data={"statement": "SELECT count(*) FROM tokens"}))
        finish_reported_run(storage, "tiny-2")
        runs = parsed(client.get(""))

    assert [row[0] for row in samples.rows[1:]] == ["a", "b", "c"]
    assert "3 kept" in map.text
    assert len(places.rows) == 1 + 4
    assert answer.rows[1:] == [["16"]]
    assert [row[0] for row in runs.rows[1:]] == ["tiny-1", "tiny-2"]


@pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium here")
def test_a_person_goes_from_a_run_to_a_heat_map_to_a_chart(workspace, tmp_path):
    with serving(workspace) as client, browser(tmp_path / "profile") as page:
        keep = partial(keep_screenshot, page)
        door = tmp_path / "door.html"
        door.write_text(DOOR.format(address=f"{client.base_url}?token={TOKEN}"))
        page.open(door.as_uri())
        page.wait_for("Runs of the index")
        assert TOKEN not in page.run("location.href")
        keep("explore-runs")
        page.click("tiny-1")
        page.wait_for("Why tokens were not kept")
        keep("explore-round")
        page.click("sums")
        page.wait_for("lowest influence first")
        keep("explore-samples")
        page.click("sums-1")
        page.wait_for("mean influence")
        page.run("document.querySelector('.token:not(.prompt)').focus()")
        page.wait_for("position")
        keep("explore-sample")
        page.run("document.querySelector('[name=with]').selectedIndex = 1")
        page.click("Show")
        page.wait_for("only in A: 1")
        keep("explore-diff")
        page.click("Tokens")
        page.wait_for("most often not kept first")
        page.click("SQL")
        page.wait_for("worst_sources")
        page.run(f"document.querySelector('textarea').value = {QUESTION!r}")
        page.click("Ask")
        page.wait_for("2 rows")
        assert page.run("document.querySelector('.quick img').naturalWidth") > 100
        keep("explore-answer")
        assert page.run("document.documentElement.scrollWidth <= innerWidth")


def keep_screenshot(page, name):
    """Keep what is seen in light, in dark and on a phone, and see that nothing sticks out."""
    for suffix, look in LOOKS.items():
        page.look(**look)
        page.screenshot(SCREENSHOTS / f"{name}{suffix}.png")
        assert page.run("document.documentElement.scrollWidth <= innerWidth"), (name, suffix)
    page.look()
