"""Kill, stop and starve the real command; then run it again and compare every byte."""

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from tests.drops import write_drop
from tests.workspaces import published

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

FEW_SECONDS = 240.0
"""Long enough for any step on a busy machine."""


@pytest.fixture(scope="module")
def command(models, tmp_path_factory):
    """Return a function that starts `tokensieve clean` into a workspace.

    What it prints goes to files: a pipe stays open as long as anything it started lives.
    """
    drop = write_drop(tmp_path_factory.mktemp("drop") / "drop.jsonl", num_rows=4500)

    def start(workspace: Path, **environment: str) -> subprocess.Popen[str]:
        arguments = [
            *(sys.executable, "-m", "flows", "clean", str(drop), "--template", "tulu"),
            *("--base", models.base, "--reference", models.reference),
            *("--workspace", str(workspace)),
        ]
        workspace.mkdir(exist_ok=True)
        environment = {**os.environ, **environment}
        with out(workspace).open("w") as output, err(workspace).open("w") as errors:
            return subprocess.Popen(
                arguments, env=environment, stdout=output, stderr=errors, start_new_session=True
            )

    return start


@pytest.fixture(scope="module")
def undisturbed(command, tmp_path_factory):
    workspace = tmp_path_factory.mktemp("undisturbed") / "w"
    finish(command(workspace), workspace)
    return published(workspace)


@pytest.fixture
def workspace(tmp_path):
    return tmp_path / "w"


def out(workspace):
    return workspace.with_suffix(".out")


def err(workspace):
    return workspace.with_suffix(".err")


def finish(process, workspace, code=0):
    assert process.wait(timeout=FEW_SECONDS) == code, err(workspace).read_text()


def wait_for_scores(workspace, number, process):
    """Return once so many score shards have a receipt: the run is in the middle of scoring."""
    deadline = time.monotonic() + FEW_SECONDS
    while len(receipts(workspace)) < number:
        assert process.poll() is None, err(workspace).read_text()
        assert time.monotonic() < deadline, "the run does not get on"
        time.sleep(0.02)


def children(process, name):
    """Return the processes below `process` whose command line holds `name`."""
    below = psutil.Process(process.pid).children(recursive=True)
    return [child for child in below if name in " ".join(child.cmdline())]


def receipts(workspace):
    return {path: path.stat().st_mtime_ns for path in workspace.glob("scores/*/receipts/*.json")}


def test_an_actor_killed_in_the_middle_changes_nothing(command, undisturbed, workspace):
    process = command(workspace)
    wait_for_scores(workspace, 2, process)
    worker = children(process, "ModelWorker")[0]

    worker.kill()
    finish(process, workspace)

    assert not worker.is_running()
    assert published(workspace) == undisturbed


def test_a_flow_killed_in_the_middle_goes_on_where_it_was(command, undisturbed, workspace):
    process = command(workspace)
    wait_for_scores(workspace, 3, process)
    workers = children(process, "ModelWorker")
    servers = children(process, "prefect.server")

    process.kill()
    process.wait()
    finished = receipts(workspace)
    status = subprocess.run(
        [sys.executable, "-m", "flows", "status", "--workspace", str(workspace)],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    _, actors_alive = psutil.wait_procs(workers, timeout=30)
    finish(command(workspace), workspace)
    _, servers_alive = psutil.wait_procs(servers, timeout=30)

    assert "interrupted" in status
    assert workers
    assert not actors_alive, "actors outlive their driver"
    assert servers
    assert not servers_alive, "the next run leaves the temporary server of the killed one"
    assert finished.items() <= receipts(workspace).items()  # none was done again
    assert published(workspace) == undisturbed


@pytest.mark.parametrize(
    "point", ["after_shard_publish:1", "after_receipt:1", "before_commit:0", "after_commit:0"]
)
def test_a_flow_killed_around_a_publication_goes_on(command, undisturbed, workspace, point):
    """The corpus is made in the flow's own process, so that is what the point kills."""
    finish(command(workspace, TOKENSIEVE_ABORT_AT=point), workspace, code=-signal.SIGKILL)
    finish(command(workspace), workspace)

    assert published(workspace) == undisturbed


def test_a_flow_killed_before_the_index_is_swapped_in_goes_on(command, undisturbed, workspace):
    point = "before_index_swap:0"
    finish(command(workspace, TOKENSIEVE_ABORT_AT=point), workspace, code=-signal.SIGKILL)
    assert not (workspace / "index/tokensieve.duckdb").exists()

    finish(command(workspace), workspace)

    assert (workspace / "index/tokensieve.duckdb").exists()
    assert published(workspace) == undisturbed


def test_ctrl_c_lets_the_shard_in_hand_finish_and_says_how_to_go_on(
    command, undisturbed, workspace
):
    process = command(workspace)
    wait_for_scores(workspace, 2, process)

    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to every process of the command
    finish(process, workspace, code=130)

    assert "the same command goes on" in err(workspace).read_text()
    assert "Traceback" not in err(workspace).read_text()
    finish(command(workspace), workspace)
    assert published(workspace) == undisturbed


def test_two_runs_at_once_give_one_result(command, undisturbed, workspace):
    first, second = command(workspace), command(workspace)

    finish(first, workspace)
    finish(second, workspace)

    assert published(workspace) == undisturbed


@pytest.fixture
def small_disk(workspace):
    """Mount a disk of 64 MB on the workspace."""
    workspace.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(workspace)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("may not mount a disk here")
    yield workspace
    subprocess.run(["umount", "--lazy", str(workspace)], check=True)


def test_a_disk_that_fills_up_is_named_and_the_run_goes_on_when_there_is_room(
    command, undisturbed, small_disk
):
    process = command(small_disk)
    wait_for_scores(small_disk, 1, process)
    filler = small_disk / "filler"
    with filler.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(2**16))

    finish(process, small_disk, code=6)

    said = err(small_disk).read_text()
    assert f"{small_disk}/scores" in said
    assert "could not be written: No space left on device" in said
    filler.unlink()
    finish(command(small_disk), small_disk)
    assert published(small_disk) == undisturbed


def test_a_disk_that_is_too_small_is_refused_at_the_start(command, small_disk):
    (small_disk / "filler").write_bytes(bytes(40 * 2**20))

    finish(command(small_disk), small_disk, code=6)

    assert "bytes will be written, but" in err(small_disk).read_text()
    assert not (small_disk / "corpora").exists()
