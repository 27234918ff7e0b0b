"""Kill, stop and starve the real command; then run it again and compare every byte.

docs/faults.md says which fault is where.
"""

import os
import signal
import subprocess
import sys
from contextlib import suppress

import psutil
import pytest

from tests.processes import children, err, finish, out, receipts, wait_for_scores, wait_until
from tests.workspaces import published

pytestmark = pytest.mark.timeout(600)


@pytest.fixture
def workspace(tmp_path):
    return tmp_path / "w"


def test_an_actor_killed_in_the_middle_changes_nothing(command, undisturbed, workspace):
    process = command(workspace)
    wait_for_scores(workspace, 2, process)
    worker = children(process.pid, "ModelWorker")[0]

    worker.kill()
    finish(process, workspace)

    assert not worker.is_running()
    assert published(workspace) == undisturbed


def test_a_flow_killed_in_the_middle_goes_on_where_it_was(command, undisturbed, workspace):
    process = command(workspace)
    wait_for_scores(workspace, 3, process)
    workers = children(process.pid, "ModelWorker")
    servers = children(process.pid, "prefect.server")

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


@pytest.mark.slow
@pytest.mark.parametrize(
    "point", ["after_shard_publish:1", "after_receipt:1", "before_commit:0", "after_commit:0"]
)
def test_a_flow_killed_around_a_publication_goes_on(command, undisturbed, workspace, point):
    """The corpus is made in the flow's own process, so that is what the point kills."""
    finish(command(workspace, TOKENSIEVE_ABORT_AT=point), workspace, code=-signal.SIGKILL)
    finish(command(workspace), workspace)

    assert published(workspace) == undisturbed


LOST = 8
"""Exit code of a run whose workers are lost three times."""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("point", "code"),
    [
        ("after_shard_publish:1", LOST),
        ("after_receipt:1", -signal.SIGKILL),  # the next worker is past it, but not the selection
    ],
)
def test_a_worker_killed_around_the_publication_of_scores_counts_nothing_twice(
    command, undisturbed, workspace, point, code
):
    """The corpus is there, so it is a worker that comes to the point first."""
    finish(command(workspace, TOKENSIEVE_ABORT_AT="after_commit:0"), workspace, -signal.SIGKILL)
    assert not receipts(workspace)

    finish(command(workspace, TOKENSIEVE_ABORT_AT=point), workspace, code)
    assert "A worker died" in out(workspace).read_text()
    finish(command(workspace), workspace)

    assert published(workspace) == undisturbed


@pytest.mark.slow
def test_a_run_whose_workers_are_starved_of_memory_says_so_and_goes_on_when_there_is_some(
    command, undisturbed, workspace
):
    """Ray kills workers as soon as 2 % of the memory are in use."""
    starved = {"RAY_memory_usage_threshold": "0.02", "RAY_memory_monitor_refresh_ms": "100"}

    finish(command(workspace, **starved), workspace, LOST)

    assert "memory" in err(workspace).read_text()
    finish(command(workspace), workspace)
    assert published(workspace) == undisturbed


@pytest.mark.slow
def test_a_flow_killed_before_the_index_is_swapped_in_goes_on(command, undisturbed, workspace):
    point = "before_index_swap:0"
    finish(command(workspace, TOKENSIEVE_ABORT_AT=point), workspace, code=-signal.SIGKILL)
    assert not (workspace / "index/tokensieve.duckdb").exists()

    finish(command(workspace), workspace)

    assert (workspace / "index/tokensieve.duckdb").exists()
    assert published(workspace) == undisturbed


@pytest.mark.slow
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


@pytest.mark.slow
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


@pytest.mark.slow
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


@pytest.mark.slow
def test_a_disk_that_is_too_small_is_refused_at_the_start(command, small_disk):
    (small_disk / "filler").write_bytes(bytes(40 * 2**20))

    finish(command(small_disk), small_disk, code=6)

    assert "bytes will be written, but" in err(small_disk).read_text()
    assert not (small_disk / "corpora").exists()


@pytest.mark.slow
def test_a_stopped_driver_that_wakes_after_another_finished_changes_nothing(
    command, undisturbed, workspace
):
    first = command(workspace)
    wait_for_scores(workspace, 2, first)
    first.send_signal(signal.SIGSTOP)
    stopped = psutil.Process(first.pid)
    wait_until(lambda: stopped.status() == psutil.STATUS_STOPPED, first, err(workspace))
    second_said = workspace.with_name("second")

    finish(command(workspace, said_by=second_said), second_said)
    assert published(workspace) == undisturbed
    first.send_signal(signal.SIGCONT)
    finish(first, workspace)

    assert published(workspace) == undisturbed
