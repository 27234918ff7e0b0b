"""Checkpoints of a training in a workspace: the newest whole one counts, two are kept."""

from pathlib import Path

import pytest
import torch

from tokensieve.artifact import Artifact
from tokensieve.errors import ConflictError
from tokensieve.storage import LocalStorage, file_sha256
from tokensieve.training import StepRecord, TrainingState
from tokensieve.training.checkpoints import Checkpoints


@pytest.fixture
def model(tmp_path) -> Artifact:
    storage = LocalStorage(tmp_path / "workspace")
    return Artifact(storage, "models", {"num_shards": 1, "seed": 0})


@pytest.fixture
def checkpoints(model) -> Checkpoints:
    return Checkpoints(model)


def state(step: int) -> TrainingState:
    records = [StepRecord(n, 1 / n, 0.5, 3, 9, 0.25) for n in range(1, step + 1)]
    return TrainingState({"weight/a": torch.full((64,), float(step))}, records)


class StepsOnly(TrainingState):
    """A state after very many steps, of which the records are not written."""

    def __init__(self, num_steps: int) -> None:
        super().__init__({"weight/a": torch.zeros(1)}, range(num_steps))

    def write(self, path: Path, identity: str) -> None:
        TrainingState(self.tensors, []).write(path, identity)


def newest(checkpoints: Checkpoints) -> TrainingState:
    """Return the state that a training goes on from."""
    return checkpoints.read(checkpoints.newest())


def names(model: Artifact) -> list[str]:
    return model.storage.names(f"{model.key}/checkpoints")


def path_of(model: Artifact, step: int):
    [found] = [name for name in names(model) if name.startswith(f"{step:06d}-")]
    return model.storage.path(f"{model.key}/checkpoints/{found}")


def test_before_the_first_checkpoint_there_is_none(checkpoints):
    assert checkpoints.newest() is None


def test_a_checkpoint_comes_back_as_it_was_kept(checkpoints, model):
    checkpoints.keep(state(3))

    found = newest(Checkpoints(model))

    assert found.records == state(3).records
    assert torch.equal(found.tensors["weight/a"], torch.full((64,), 3.0))


def test_the_newest_is_that_of_the_highest_step(checkpoints):
    for step in (10, 9):  # as another process, which is behind, may do
        checkpoints.keep(state(step))

    assert len(newest(checkpoints).records) == 10


def test_steps_are_compared_as_numbers(checkpoints, model):
    for step in (999_999, 1_000_000):
        checkpoints.keep(StepsOnly(step))

    assert checkpoints.newest().startswith("1000000-")


def test_one_that_another_run_removes_is_passed_over_for_what_is_there(
    checkpoints, model, monkeypatch
):
    def removed_by_another_run(path):
        monkeypatch.setattr("tokensieve.training.checkpoints.file_sha256", file_sha256)
        path_of(model, 2).unlink()
        checkpoints.keep(state(3))
        return file_sha256(path)

    for step in (1, 2):
        checkpoints.keep(state(step))
    monkeypatch.setattr("tokensieve.training.checkpoints.file_sha256", removed_by_another_run)

    assert checkpoints.newest().startswith("000003-")


def test_one_that_is_removed_before_it_is_read_is_none(checkpoints, model):
    checkpoints.keep(state(2))
    name = checkpoints.newest()
    path_of(model, 2).unlink()

    assert checkpoints.read(name) is None


def test_a_state_stays_readable_when_its_file_is_removed(checkpoints, model):
    checkpoints.keep(state(2))
    found = newest(checkpoints)
    path_of(model, 2).unlink()

    assert torch.equal(found.tensors["weight/a"], torch.full((64,), 2.0))


def test_only_the_last_two_are_kept(checkpoints, model):
    for step in (8, 9, 10, 120):
        checkpoints.keep(state(step))

    assert [name[:6] for name in names(model)] == ["000010", "000120"]


@pytest.mark.parametrize("damage", ["flip", "cut", "empty"])
def test_a_damaged_one_is_told_and_the_one_before_it_taken(checkpoints, model, damage, capsys):
    for step in (9, 10):
        checkpoints.keep(state(step))
    path = path_of(model, 10)
    data = path.read_bytes()
    changed = {
        "flip": data[:-9] + bytes([data[-9] ^ 1]) + data[-8:],
        "cut": data[:-1],
        "empty": b"",
    }
    path.write_bytes(changed[damage])

    found = newest(checkpoints)

    assert len(found.records) == 9
    said = capsys.readouterr().err
    assert said == (
        f"{path}: its content changed after it was written. Going on from the one before it.\n"
    )


def test_where_all_are_damaged_training_starts_anew(checkpoints, model, capsys):
    for step in (9, 10):
        checkpoints.keep(state(step))
        path_of(model, step).write_bytes(b"cut")

    assert checkpoints.newest() is None
    assert len(capsys.readouterr().err.splitlines()) == 2


def test_a_damaged_one_is_replaced_when_its_step_is_done_again(checkpoints, model, capsys):
    for step in (9, 10):
        checkpoints.keep(state(step))
    path_of(model, 10).write_bytes(b"cut")

    checkpoints.newest()
    checkpoints.keep(state(10))

    assert len(newest(checkpoints).records) == 10


def test_a_state_of_another_training_is_refused(checkpoints, model):
    other = Artifact(model.storage, "models", {"num_shards": 1, "seed": 1})
    Checkpoints(other).keep(state(3))
    path_of(other, 3).parent.rename(model.storage.root / "aside")
    model.storage.path(model.key).mkdir(parents=True)
    (model.storage.root / "aside").rename(model.storage.path(f"{model.key}/checkpoints"))

    with pytest.raises(ConflictError, match="is the state of another training"):
        newest(checkpoints)


def test_they_all_go_when_they_are_cleared_and_strange_files_stay(checkpoints, model):
    for step in (1, 2):
        checkpoints.keep(state(step))
    model.storage.path(f"{model.key}/checkpoints/README").write_text("mine")

    checkpoints.clear()

    assert names(model) == ["README"]
    assert checkpoints.newest() is None
