"""Kill a training, or rounds of them, anywhere; run the same command again; compare every byte."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

from flows.clean import clean
from flows.train import train
from tests.drops import write_drop
from tests.workspaces import published
from tokensieve.settings import CleanSettings, TrainSettings

pytestmark = [pytest.mark.usefixtures("prefect_server", "ray_cluster"), pytest.mark.timeout(900)]

FEW_SECONDS = 240.0
"""Long enough for any step on a busy machine."""
TRAINING = {
    "tuning": "full",
    "learning_rate": 0.001,
    "epochs": 4,
    "step_samples": 4,
    "checkpoint_minutes": 0,
}
"""A checkpoint after each of 48 steps, so that it can be met in the middle."""


def toml(training: dict[str, object]) -> str:
    lines = [f"{key} = {json.dumps(value)}" for key, value in training.items()]
    return "\n".join(["[training]", *lines, ""])


@pytest.fixture(scope="module")
def directory(tmp_path_factory) -> Path:
    """Return where the drop, the held-out file and the settings of a training lie."""
    here = tmp_path_factory.mktemp("given")
    write_drop(here / "drop.jsonl", num_rows=48)
    write_drop(here / "holdout.jsonl", num_rows=8, seed=1)
    (here / "train.toml").write_text(toml(TRAINING))
    (here / "evolve.toml").write_text(toml(TRAINING | {"epochs": 2}))
    return here


@pytest.fixture(scope="module")
def cleaned(models, directory, prefect_server) -> tuple[Path, str]:
    """Return a workspace with a selection that costs no scores, and the name of its run."""
    control = CleanSettings(
        files=(str(directory / "drop.jsonl"),),
        base=models.base,
        workspace=str(directory / "cleaned"),
        corpus={"template": "tulu"},
        selection={"method": "random"},
    )
    return directory / "cleaned", clean(control).run


@pytest.fixture(scope="module")
def undisturbed(cleaned, models, directory, prefect_server, ray_cluster) -> dict[str, str]:
    """Return what stands in a workspace after a training that nobody disturbs."""
    shutil.copytree(cleaned[0], directory / "undisturbed")
    train(settings(models, directory / "undisturbed", cleaned[1]))
    return published(directory / "undisturbed")


@pytest.fixture
def workspace(cleaned, tmp_path) -> Path:
    return Path(shutil.copytree(cleaned[0], tmp_path / "w"))


def settings(models, workspace: Path, selection: str) -> TrainSettings:
    return TrainSettings(
        base=models.base,
        workspace=str(workspace),
        selection=selection,
        training=TRAINING,
        cluster={"workers": 2},
    )


def start(arguments: list[str], workspace: Path, **environment: str) -> subprocess.Popen[str]:
    """Start `tokensieve` with a server of its own; what it says goes to a file."""
    known = {key: value for key, value in os.environ.items() if key != "PREFECT_API_URL"}
    workspace.mkdir(exist_ok=True)
    with said_by(workspace).open("w") as said:
        return subprocess.Popen(
            [sys.executable, "-m", "flows", *arguments, "--workspace", str(workspace)],
            env={**known, **environment},
            stdout=said,
            stderr=said,
            start_new_session=True,
        )


def finish(process: subprocess.Popen[str], workspace: Path, code: int = 0) -> None:
    assert process.wait(timeout=FEW_SECONDS) == code, said_by(workspace).read_text()


def said_by(workspace: Path) -> Path:
    return workspace.with_suffix(".out")


def wait_for(workspace: Path, pattern: str, process: subprocess.Popen[str] | None = None) -> None:
    """Return once a file of this name is there."""
    deadline = time.monotonic() + FEW_SECONDS
    while not list(workspace.glob(pattern)):
        assert time.monotonic() < deadline, "the run does not get on"
        assert process is None or process.poll() is None, said_by(workspace).read_text()
        time.sleep(0.01)


def training_worker(process: psutil.Process) -> psutil.Process:
    """Return the worker below `process` that has done the most."""
    below = process.children(recursive=True)
    workers = [child for child in below if "ModelWorker" in " ".join(child.cmdline())]
    return max(workers, key=lambda worker: worker.cpu_times().user)


def test_a_worker_killed_in_the_middle_of_a_training_changes_nothing(
    cleaned, models, undisturbed, workspace
):
    """The next worker goes on from the last checkpoint, and the same bits come out."""
    killed = []

    def kill() -> None:
        wait_for(workspace, "models/*/checkpoints/0000[2-9]*.safetensors")
        worker = training_worker(psutil.Process())
        worker.kill()
        killed.append(worker)

    killer = threading.Thread(target=kill)
    killer.start()
    train(settings(models, workspace, cleaned[1]))
    killer.join()

    assert not killed[0].is_running()
    assert published(workspace) == undisturbed
    assert not list(workspace.glob("models/*/checkpoints/*"))


@pytest.fixture
def training(cleaned, models, directory) -> list[str]:
    """Return the command that trains what `undisturbed` has trained."""
    config = str(directory / "train.toml")
    return ["train", cleaned[1], "--base", models.base, "--config", config, "--workers", "2"]


LOST = 8
"""Exit code of a run whose workers are lost three times."""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("point", "code"),
    [
        ("before_checkpoint:2", LOST),
        ("after_checkpoint:2", 0),  # the next worker is past it
        ("before_model:0", LOST),
        ("after_shard_publish:0", LOST),
        ("after_receipt:0", 0),
        ("after_commit:0", -signal.SIGKILL),  # from here on it is the flow that is killed
        ("before_index_swap:0", -signal.SIGKILL),
    ],
)
def test_a_training_killed_at_a_point_of_its_publication_goes_on(
    training, undisturbed, workspace, point, code
):
    finish(start(training, workspace, TOKENSIEVE_ABORT_AT=point), workspace, code)

    finish(start(training, workspace), workspace)

    assert published(workspace) == undisturbed
    assert not list(workspace.glob("models/*/checkpoints/*"))
    assert (workspace / "index/tokensieve.duckdb").exists()


@pytest.mark.slow
def test_a_flow_killed_in_the_middle_of_a_training_goes_on_from_the_last_checkpoint(
    training, undisturbed, workspace
):
    process = start(training, workspace)
    wait_for(workspace, "models/*/checkpoints/0000[2-9]*.safetensors", process)
    worker = training_worker(psutil.Process(process.pid))

    process.kill()
    process.wait()
    _, alive = psutil.wait_procs([worker], timeout=30)
    kept = sorted(path.name for path in workspace.glob("models/*/checkpoints/*"))
    finish(start(training, workspace), workspace)

    assert not alive
    assert len(kept) == 2
    assert published(workspace) == undisturbed
    assert not list(workspace.glob("models/*/checkpoints/*"))


@pytest.fixture(scope="module")
def evolving(models, directory) -> list[str]:
    """Return the command that does three rounds."""
    return [
        *("evolve", str(directory / "drop.jsonl"), "--holdout", str(directory / "holdout.jsonl")),
        *("--base", models.base, "--template", "tulu", "--rounds", "2", "--workers", "2"),
        *("--config", str(directory / "evolve.toml")),
    ]


@pytest.fixture(scope="module")
def evolved(evolving, directory) -> dict[str, str]:
    workspace = directory / "evolved"
    finish(start(evolving, workspace), workspace)
    return published(workspace)


@pytest.mark.slow
@pytest.mark.parametrize(
    "moment",
    [
        "runs/*/round-000.json",  # between two rounds, before the index
        "runs/*/round-002-plan.json",  # in the middle of scoring
        "runs/*/round-002.json",  # after the last round, before its end
    ],
)
def test_rounds_killed_at_any_moment_go_on_and_end_with_the_very_bytes(
    evolving, evolved, tmp_path, moment
):
    workspace = tmp_path / "w"
    process = start(evolving, workspace)
    wait_for(workspace, moment, process)

    process.kill()
    process.wait()
    finish(start(evolving, workspace), workspace)

    assert published(workspace) == evolved
    assert not list(workspace.glob("models/*/checkpoints/*"))


@pytest.mark.slow
def test_rounds_killed_again_and_again_end_with_the_very_bytes(evolving, evolved, tmp_path):
    workspace = tmp_path / "w"
    for moment in (
        "corpora/*/COMMIT.json",
        "models/*/checkpoints/*",
        "runs/*/round-001-plan.json",
        "runs/*/round-001.json",
    ):
        process = start(evolving, workspace)
        wait_for(workspace, moment, process)
        process.kill()
        process.wait()

    finish(start(evolving, workspace), workspace)

    assert published(workspace) == evolved
    assert not list(workspace.glob("models/*/checkpoints/*"))


@pytest.mark.slow
def test_a_worker_killed_in_the_middle_of_scoring_a_round_changes_nothing(
    evolving, evolved, tmp_path
):
    workspace = tmp_path / "w"
    process = start(evolving, workspace)
    wait_for(workspace, "runs/*/round-002-plan.json", process)

    for child in psutil.Process(process.pid).children(recursive=True):
        if "ModelWorker" in " ".join(child.cmdline()):
            child.kill()
    finish(process, workspace)

    assert published(workspace) == evolved
