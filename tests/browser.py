"""Look at pages as a person would: headless Chromium, driven over its debugging socket."""

import base64
import json
import shutil
import subprocess
import time
from contextlib import contextmanager
from itertools import count
from pathlib import Path

from websockets.sync.client import connect

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
_FLAGS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--window-size=1500,1100")


class Page:
    """One tab."""

    def __init__(self, socket):
        self._socket, self._numbers, self._session = socket, count(1), None
        target = self._call("Target.createTarget", url="about:blank")["targetId"]
        attached = self._call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        self._call("Page.enable")
        self._call("Performance.enable", timeDomain="threadTicks")

    def open(self, url):
        self._call("Page.navigate", url=url)

    def run(self, script):
        """Return the value of a JavaScript expression."""
        answer = self._call("Runtime.evaluate", expression=script, returnByValue=True)
        return answer["result"].get("value")

    def click(self, text):
        """Press what has exactly this text on it."""
        is_it = f"e => !e.children.length && e.textContent.trim() === {json.dumps(text)}"
        found = f"[...document.querySelectorAll('body *')].filter({is_it})"
        assert self.run(f"{found}.map(e => e.click()).length"), text

    def text(self):
        """Return what a person can read."""
        return self.run("document.body ? document.body.innerText : ''") or ""

    def wait_for(self, *texts, seconds=60.0):
        """Return once all of the texts can be read."""
        deadline = time.monotonic() + seconds
        while missing := [text for text in texts if text not in self.text()]:
            assert time.monotonic() < deadline, f"{missing} are not on the page:\n{self.text()}"
            time.sleep(0.3)

    def wait_until(self, script, seconds=60.0):
        """Return once a JavaScript expression is true."""
        deadline = time.monotonic() + seconds
        while not self.run(script):
            assert time.monotonic() < deadline, script
            time.sleep(0.1)

    def processor_seconds(self):
        """Return how long the main thread of the page has worked, whatever else the machine did."""
        metrics = self._call("Performance.getMetrics")["metrics"]
        return next(each["value"] for each in metrics if each["name"] == "TaskDuration")

    def look(self, width=1500, height=1100, scheme="light", medium="screen"):
        """See the page in a window of this size, by this colour scheme, on screen or in print."""
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1}
        self._call("Emulation.setDeviceMetricsOverride", **metrics, mobile=False)
        preferred = [{"name": "prefers-color-scheme", "value": scheme}]
        self._call("Emulation.setEmulatedMedia", media=medium, features=preferred)

    def press(self, key, **more):
        """Press a key by its name, such as Tab or ArrowRight."""
        for kind in ("keyDown", "keyUp"):
            self._call("Input.dispatchKeyEvent", type=kind, key=key, code=key, **more)

    def screenshot(self, path: Path, whole=False):
        """Keep what is seen in the window, or the whole page, as a PNG."""
        data = self._call("Page.captureScreenshot", format="png", captureBeyondViewport=whole)[
            "data"
        ]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(base64.b64decode(data))

    def _call(self, method, **parameters):
        number = next(self._numbers)
        message = {"id": number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        self._socket.send(json.dumps(message))
        while (answer := json.loads(self._socket.recv(timeout=60))).get("id") != number:
            continue  # events
        assert "error" not in answer, answer["error"]
        return answer["result"]


@contextmanager
def browser(profile: Path):
    """Yield a page of a browser that keeps its profile in the directory `profile`."""
    command = [CHROMIUM, *_FLAGS, "--remote-debugging-port=0", f"--user-data-dir={profile}"]
    with subprocess.Popen([*command, "about:blank"], stderr=subprocess.DEVNULL) as process:
        try:
            with connect(_address(profile, process), max_size=None) as socket:
                yield Page(socket)
        finally:
            process.terminate()


def _address(profile, process, seconds=60.0):
    """Return the address of the socket, which the browser writes down when it is open."""
    written, deadline = profile / "DevToolsActivePort", time.monotonic() + seconds
    while not written.exists() or len(written.read_text().split()) < 2:
        assert process.poll() is None, "the browser ended"
        assert time.monotonic() < deadline, "the browser does not start"
        time.sleep(0.1)
    port, path = written.read_text().split()
    return f"ws://127.0.0.1:{port}{path}"
