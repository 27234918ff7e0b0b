"""The pool on a real Ray cluster: work that fails, workers that die, workers that hang."""

import os
import signal
import time
from pathlib import Path

import psutil
import pytest
import ray
from ray._private import ray_constants

from ray_cluster import pool_actor, worker_pool
from ray_cluster.cluster import connect
from ray_cluster.worker_pool import MAX_ATTEMPTS, WorkerPool
from tokensieve.errors import InputError, ResourceError, ServiceError
from tokensieve.settings import ClusterSettings

NAPS = {"slow": 2.5, "endless": 600.0}
"""Seconds that a job takes which asks for it."""


class Doubler:
    """Doubles numbers; what else a job asks for happens once, and leaves a mark in a directory."""

    def __init__(self, directory: Path) -> None:
        if not directory.is_dir():
            raise NotADirectoryError(directory)
        self.directory = directory
        self.done = 0

    def run(self, job: tuple[int, str]) -> tuple[int, int]:
        number, wish = job
        mark = self.directory / f"{number}-{wish}"
        if wish == "refuse":
            raise InputError(f"{number}: is refused")
        if wish == "always-die" or (wish in ("die", "hang") and not mark.exists()):
            mark.write_text(str(os.getpid()))
            os.kill(os.getpid(), signal.SIGSTOP if wish == "hang" else signal.SIGKILL)
        if wish == "die-late" and not mark.exists():
            mark.touch()
            self.done += 5
            time.sleep(2.5)
            os.kill(os.getpid(), signal.SIGKILL)
        if wish in NAPS:
            time.sleep(NAPS[wish])
        self.done += 1
        return 2 * number, os.getpid()

    def progress(self) -> tuple[int, str]:
        return self.done, f"{self.done} done"


@pytest.fixture(scope="module", autouse=True)
def cluster():
    yield connect(ClusterSettings(gpus_per_worker=0))
    ray.shutdown()
    connect.cache_clear()


@pytest.fixture
def pool(tmp_path):
    """Yield a pool of two workers that together have every processor, as scoring workers do."""
    share = {"num_cpus": ray.cluster_resources()["CPU"] / 2}
    with WorkerPool(Doubler, (tmp_path,), 2, share) as made:
        yield made


def run(pool, jobs):
    answers = []
    pool.run(jobs, answers.append)
    return sorted(number for number, _ in answers), {pid for _, pid in answers}


@pytest.fixture
def warm_pool(pool):
    """Return a pool whose workers have both started, so that they take jobs at once."""
    run(pool, [(0, "slow"), (0, "slow")])
    return pool


def test_every_job_is_done_once_and_workers_stay_warm(pool):
    numbers, first = run(pool, [(n, "") for n in range(8)])
    again, second = run(pool, [(n, "") for n in range(8)])

    assert numbers == again == [0, 2, 4, 6, 8, 10, 12, 14]
    assert len(first | second) <= 2, "no third process did any of the sixteen"


def test_a_job_whose_worker_was_killed_is_done_by_another(pool, tmp_path):
    numbers, _ = run(pool, [(1, ""), (2, "die"), (3, "")])

    assert (tmp_path / "2-die").exists()
    assert numbers == [2, 4, 6]


def test_a_job_that_kills_every_worker_ends_the_run_with_its_name(pool):
    with pytest.raises(ServiceError, match=rf"\(2, 'always-die'\).*lost {MAX_ATTEMPTS} times"):
        run(pool, [(2, "always-die")])


def test_what_breaks_the_start_of_every_worker_is_told():
    broken = WorkerPool(Doubler, (Path("/nothing/here"),), 1, {"num_cpus": 0.5})

    with pytest.raises(ServiceError, match="NotADirectoryError: /nothing/here"):
        broken.run([(1, "")], lambda answer: None)


def test_a_worker_that_hangs_is_replaced(warm_pool, tmp_path, monkeypatch):
    monkeypatch.setattr(pool_actor, "SILENCE_SECONDS", 3.0)

    numbers, _ = run(warm_pool, [(1, ""), (2, "hang")])

    assert (tmp_path / "2-hang").exists()
    assert numbers == [2, 4]


def test_workers_that_hang_make_room_for_others(warm_pool, tmp_path, monkeypatch):
    monkeypatch.setattr(pool_actor, "SILENCE_SECONDS", 3.0)

    numbers, _ = run(warm_pool, [(1, "hang"), (2, "hang")])

    assert numbers == [2, 4]
    hung = [int((tmp_path / mark).read_text()) for mark in ("1-hang", "2-hang")]
    deadline = time.monotonic() + 60
    while any(map(psutil.pid_exists, hung)):
        assert time.monotonic() < deadline, "what they hold is never free"
        time.sleep(0.1)


def test_a_worker_for_whom_there_is_no_room_keeps_no_job(tmp_path):
    room = ray.cluster_resources()["CPU"]
    with WorkerPool(Doubler, (tmp_path,), 2, {"num_cpus": room}) as pool:
        numbers, workers = run(pool, [(n, "") for n in range(4)])

    assert numbers == [0, 2, 4, 6]
    assert len(workers) == 1


def test_no_room_for_any_worker_ends_the_run(tmp_path, monkeypatch):
    monkeypatch.setattr(pool_actor, "START_SECONDS", 2.0)
    pool = WorkerPool(Doubler, (tmp_path,), 1, {"num_cpus": 64})

    with pool, pytest.raises(ServiceError, match="No worker started in"):
        run(pool, [(1, "")])


def test_an_error_of_a_job_arrives_as_itself(pool):
    with pytest.raises(InputError, match=r"^7: is refused$"):
        run(pool, [(7, "refuse")])


def test_progress_is_told_while_a_job_runs(pool):
    heard = []

    pool.run(
        [(n, "slow") for n in range(4)],
        lambda answer: None,
        lambda units, note: heard.append((units, note)),
    )

    assert heard[0] == (0, "")
    assert 0 < max(units for units, _ in heard) <= 4
    assert any(note.endswith(" done") for _, note in heard)


def test_what_a_lost_worker_did_of_its_job_is_not_counted_twice(pool):
    heard = []

    pool.run([(3, "die-late")], lambda answer: None, lambda units, note: heard.append(units))

    assert max(heard) == 5
    assert heard[-1] <= 1


def interrupt(units: int, note: str) -> None:
    raise KeyboardInterrupt


def test_ctrl_c_lets_a_job_finish_that_is_nearly_done(warm_pool):
    answers = []

    with pytest.raises(KeyboardInterrupt):
        warm_pool.run([(1, "slow"), (2, ""), (3, "")], answers.append, interrupt)

    assert 2 in [number for number, _ in answers]


def test_ctrl_c_does_not_wait_for_a_job_that_takes_hours(warm_pool, monkeypatch):
    monkeypatch.setattr(worker_pool, "LAST_SECONDS", 3.0)
    answers = []
    began = time.monotonic()

    with pytest.raises(KeyboardInterrupt):
        warm_pool.run([(1, "endless")], answers.append, interrupt)

    assert time.monotonic() - began < 60
    assert answers == []
    assert run(warm_pool, [(2, "")])[0] == [4]


def test_more_gpus_than_there_are_is_refused():
    with pytest.raises(ResourceError, match=r"have 64 GPUs .* no node has more than 0"):
        connect(ClusterSettings(gpus_per_worker=64))


def test_the_cluster_asks_for_a_token_and_listens_on_loopback_only(cluster):
    assert os.environ["RAY_AUTH_MODE"] == "token"
    assert {node["NodeManagerAddress"] for node in ray.nodes()} == {"127.0.0.1"}


def test_what_keeps_a_cluster_to_this_machine_is_not_left_in_the_process(cluster):
    assert "AUTOSCALER_METRIC_PORT" not in os.environ
    assert ray_constants.ENABLE_RAY_CLUSTERS_ENV_VAR not in os.environ
    assert ray_constants.ENABLE_RAY_CLUSTER
