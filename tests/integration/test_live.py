"""The whole as it runs by itself: server, worker, schedule, drops, an event, a browser, a kill.

Nothing here is called by hand: drops are put where they are looked for, and the rest is waited for.
"""

import base64
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
import yaml
from PIL import Image

from tests.browser import CHROMIUM, browser
from tests.drops import write_drop
from tests.live_prefect import HEARTBEAT_SECONDS, SECONDS, end, live_prefect
from tokensieve.drops import read_log
from tokensieve.runs import all_runs
from tokensieve.storage import LocalStorage

pytestmark = pytest.mark.timeout(900)

ROOT = Path(__file__).resolve().parents[2]
SCREENSHOTS = Path(os.environ.get("TOKENSIEVE_SCREENSHOTS", ROOT / "screenshots"))
EVERY_SECONDS = 20
NUM_FIRST, NUM_SECOND, NUM_KILLED = 60, 40, 4500
"""Rows of the drops; the last one is large enough to be killed in the middle of."""


@pytest.fixture(scope="module")
def live(models, tmp_path_factory):
    """Yield a server with everything deployed as docs/deployment.md says, and a worker."""
    place = tmp_path_factory.mktemp("live")
    (place / "drops").mkdir()
    settings = write_settings(place, models)
    with live_prefect(place / "prefect") as server:
        server.command("work-pool", "create", "tokensieve", "--type", "process")
        zombies = str(faster_automation(place))
        server.command("automation", "create", "--from-file", zombies)
        often = str(more_often(place))
        everything = ("--no-prompt", "deploy", "--all", "--prefect-file", often)
        server.command(*everything, TOKENSIEVE_SETTINGS=str(settings))
        with server.worker() as worker:
            yield SimpleNamespace(
                server=server,
                worker=worker,
                drops=place / "drops",
                storage=LocalStorage(place / "workspace"),
            )


def write_settings(place, models):
    """Write the one settings file of all deployments."""
    text = f"""
        location = "drops"
        quiet_minutes = 60
        workspace = "workspace"
        base = "{models.base}"
        reference = "{models.reference}"
        corpus.template = "tulu"
        cluster.workers = 1

        [deployments.train.training]
        tuning = "full"

        [deployments.clean]
        files = ["drops/first/a.jsonl"]

        [deployments.evolve-round]
        files = ["drops/first/a.jsonl"]

        [deployments.compare]
        files = ["drops/first/a.jsonl"]
        holdout = ["drops/second/b.jsonl"]
    """
    path = place / "settings.toml"
    path.write_text("\n".join(line.strip() for line in text.splitlines()))
    return path


def more_often(place):
    """Return the shipped deployments, with a schedule that a test can wait for."""
    shipped = yaml.safe_load((ROOT / "deployments/prefect.yaml").read_text())
    for deployment in shipped["deployments"]:
        environment = deployment["work_pool"]["job_variables"]["env"]
        environment["PREFECT_FLOWS_HEARTBEAT_FREQUENCY"] = str(HEARTBEAT_SECONDS)
        if deployment["name"] == "clean-drops":
            deployment["schedules"] = [{"interval": EVERY_SECONDS, "slug": "often"}]
    path = place / "prefect.yaml"
    path.write_text(yaml.safe_dump(shipped))
    return path


def faster_automation(place):
    """Return the shipped automation, which waits for three of the test's heartbeats."""
    shipped = yaml.safe_load((ROOT / "deployments/automations.yaml").read_text())
    for automation in shipped["automations"]:
        automation["trigger"]["within"] = 3 * HEARTBEAT_SECONDS
    path = place / "automations.yaml"
    path.write_text(yaml.safe_dump(shipped))
    return path


def put_drop(live, name, **files):
    """Let a drop arrive: its files, then the mark that it is complete."""
    folder = live.drops / name
    folder.mkdir()
    for file, (num_rows, seed) in files.items():
        write_drop(folder / f"{file}.jsonl", num_rows, seed)
    (folder / "_SUCCESS").touch()


def wait_for(is_so, what, seconds=SECONDS):
    deadline = time.monotonic() + seconds
    while not (found := is_so()):
        assert time.monotonic() < deadline, what()
        time.sleep(0.5)
    return found


def states(live, deployment="clean-drops"):
    return [run["state_type"] for run in live.server.runs(deployment)]


def told(live):
    """Return what to look at when something does not come."""
    logs = [path.read_text()[-3000:] for path in live.server.home.glob("*.log")]
    return "\n".join([str(states(live)), *logs])


def visits(live):
    """Return the visit of each drop that was cleaned."""
    return {visit.drop: visit for visit in read_log(live.storage).visits}


def wait_for_drop(live, drop):
    return wait_for(lambda: visits(live).get(drop), lambda: told(live))


def test_the_schedule_cleans_what_arrives_and_an_event_trains_on_it(live):
    put_drop(live, "first", a=(NUM_FIRST, 1))
    first = wait_for_drop(live, "first")
    put_drop(live, "second", a=(NUM_FIRST, 1), b=(NUM_SECOND, 2))
    second = wait_for_drop(live, "second")
    wait_for(lambda: states(live, "train").count("COMPLETED") == 2, lambda: told(live))

    assert first.counts["rows"] == first.counts["samples"] == NUM_FIRST
    assert second.counts["rows"] == NUM_SECOND, "the file of the first drop is not read again"
    assert [(file.name, file.is_new) for file in second.files] == [
        ("a.jsonl", False),
        ("b.jsonl", True),
    ]
    models = [run for run in all_runs(live.storage) if run.flow == "train"]
    assert len(models) == 2
    assert all(run.is_finished(live.storage) for run in models)
    assert states(live).count("COMPLETED") > 1
    assert "FAILED" not in states(live)
    assert "CRASHED" not in states(live)
    assert all(run["auto_scheduled"] for run in live.server.runs("clean-drops"))


def test_the_doctor_finds_the_server_well(live):
    doctor = subprocess.run(
        [sys.executable, "-m", "flows", "doctor", "--workspace", str(live.storage)],
        env=live.server.environment,
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )

    assert f"{live.server.address}/api: version" in doctor.stdout, doctor.stdout + doctor.stderr
    assert "marks killed runs as crashed" in doctor.stdout
    assert live.server.password not in doctor.stdout + doctor.stderr


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed")
def test_runs_tasks_progress_and_summaries_are_seen_in_a_browser(live, tmp_path):
    server = live.server
    runs = server.runs("clean-drops")
    parent = next(run for run in runs if run["state_type"] == "COMPLETED")
    [cleaning] = server.ask("flow_runs/filter", flow_runs={"name": {"any_": ["clean-first"]}})
    of_run = {"flow_run_id": {"any_": [cleaning["id"]]}}
    artifacts = server.ask("artifacts/filter", artifacts=of_run)
    assert {each["data"] for each in artifacts if each["type"] == "progress"} == {100.0}
    texts = {each["key"]: each for each in artifacts if each["type"] == "markdown"}
    password = base64.b64encode(server.password.encode()).decode()

    with browser(tmp_path / "profile") as page:
        page.open(server.address)
        page.wait_for("Login")
        page.run(f"localStorage.setItem('prefect-password', '{password}')")
        page.open(f"{server.address}/deployments")
        page.wait_for("clean-drops", "evolve-round", "train", "compare")
        page.screenshot(SCREENSHOTS / "deployments.png")
        page.open(f"{server.address}/runs/flow-run/{parent['id']}")
        page.wait_for("Subflow Runs", "Completed")
        page.click("Subflow Runs")
        page.wait_for("clean-first")
        page.screenshot(SCREENSHOTS / "drops.png")
        page.open(f"{server.address}/runs/flow-run/{cleaning['id']}")
        page.wait_for("Task Runs", "11 Task runs")
        page.click("Task Runs")
        page.wait_for("make-corpus", "score-base", "score-reference", "select-tokens")
        page.screenshot(SCREENSHOTS / "cleaning.png")
        keep_top("cleaning.png", "prefect.png")  # docs/prefect.png is this picture
        page.click("Artifacts")
        page.wait_for("make corpus", "score base", "score reference", "summary", "drift")
        assert texts["report"]["data"].count("tokensieve report ") == 1  # how to get more of it
        page.screenshot(SCREENSHOTS / "artifacts.png")
        page.open(f"{server.address}/artifacts/artifact/{texts['summary']['id']}")
        page.wait_for(f"{NUM_FIRST} read = {NUM_FIRST} samples", "(60.0 %)")
        page.screenshot(SCREENSHOTS / "summary.png")


def keep_top(name, top):
    """Keep the task graph on top of a page, in few colours."""
    whole = Image.open(SCREENSHOTS / name).convert("RGB")
    whole.crop((0, 0, whole.width, 760)).quantize(96).save(SCREENSHOTS / top, optimize=True)


def test_a_worker_that_is_killed_leaves_a_crashed_run_and_the_next_one_finishes(live):
    before = len(score_receipts(live))
    put_drop(live, "third", c=(NUM_KILLED, 3))
    wait_for(lambda: len(score_receipts(live)) > before + 1, lambda: told(live))
    killed = psutil.Process(live.worker.pid).children(recursive=True)
    end(live.worker, signal.SIGKILL)
    assert not any(each.is_running() for each in killed)
    [dead] = [run for run in live.server.runs("clean-drops") if run["state_type"] == "RUNNING"]
    assert "third" not in visits(live)

    wait_for(lambda: state_of(live, dead) == "CRASHED", lambda: told(live))
    with live.server.worker():
        third = wait_for_drop(live, "third")

    assert third.counts["rows"] == NUM_KILLED
    assert third.counts["samples"] + third.counts["skipped"] == NUM_KILLED, "some rows say the same"
    assert state_of(live, dead) == "CRASHED"


def score_receipts(live):
    return list(live.storage.root.glob("scores/*/receipts/*.json"))


def state_of(live, run):
    return live.server.ask(f"flow_runs/{run['id']}")["state_type"]
