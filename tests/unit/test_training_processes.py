"""Several processes train the model that one trains; a killed one leaves what others go on from."""

import os
import signal
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from safetensors.torch import load_file, save_file
from torch.multiprocessing import spawn

from tests.tiny_training import build_tied_model, tiny_data
from tokensieve.settings import LoraSettings, TrainingSettings
from tokensieve.training import (
    ALONE,
    Observer,
    Ranks,
    StepRecord,
    TrainingState,
    load_trainee,
    save_trained,
    shard_over_ranks,
    train,
)

LENGTHS = [9, 4, 6, 12, 5, 7, 8, 3]
COMMON = {"learning_rate": 1e-2, "epochs": 2, "step_samples": 5, "clip_norm": 1.0}
SETTINGS = {
    "full": TrainingSettings(tuning="full", precision="float32", batch_tokens=12, **COMMON),
    "lora": TrainingSettings(
        precision="bfloat16",
        batch_tokens=12,
        gradient_checkpointing=True,
        lora=LoraSettings(rank=4),
        **COMMON,
    ),
}
WAYS = [(tuning, sharded) for tuning in SETTINGS for sharded in (False, True)]


class Middle(Observer):
    """Keeps the state after the second step."""

    def __init__(self, file: Path) -> None:
        self.file, self.steps = file, 0

    def step_done(self, record: StepRecord) -> None:
        self.steps += 1

    def wants_state(self) -> bool:
        return self.steps == 1

    def keep_state(self, state: TrainingState) -> None:
        state.write(self.file, "test")


def trained(path: Path, tuning: str, sharded: bool, ranks: Ranks, directory: Path) -> None:
    """Train, take up the middle of it again, and write what came out of both."""
    data, settings = tiny_data(lengths=LENGTHS), SETTINGS[tuning]
    for name in ("through", "again"):
        trainee = load_trainee(str(path), settings, 0)
        if sharded:
            shard_over_ranks(trainee)
        file = directory / "state.safetensors"
        state = TrainingState.read(file, "test") if name == "again" else None
        records = train(trainee, data, settings, ranks, state, Middle(file) if not state else None)
        weights = ranks.gathered(trainee.trained)
        weights["losses"] = torch.tensor([record.loss for record in records])
        weights["norms"] = torch.tensor([record.gradient_norm for record in records])
        if ranks.rank == 0:
            save_file(weights, directory / f"{name}.safetensors")
        assert ranks.everybodys(f"rank {ranks.rank}") == [
            f"rank {rank}" for rank in range(ranks.num_ranks)
        ]  # and all are here
    save_trained(trainee, str(path), directory, settings, ranks)


def work(rank: int, path: Path, directory: Path) -> None:
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo", init_method=f"file://{directory}/meeting", rank=rank, world_size=2
    )
    for tuning, sharded in WAYS:
        room = directory / f"{tuning}-{sharded}"
        room.mkdir(exist_ok=True)
        trained(path, tuning, sharded, Ranks(rank, 2), room)
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def path(tmp_path_factory) -> Path:
    torch.set_num_threads(1)
    return build_tied_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def of_two(path, tmp_path_factory) -> Path:
    directory = tmp_path_factory.mktemp("two")
    spawn(work, (path, directory), nprocs=2)
    return directory


@pytest.fixture(scope="module", params=SETTINGS)
def of_one(request, path, tmp_path_factory) -> tuple[str, Path]:
    directory = tmp_path_factory.mktemp(request.param)
    trained(path, request.param, False, ALONE, directory)
    return request.param, directory


@pytest.mark.parametrize("sharded", [False, True], ids=["each has all weights", "sharded"])
def test_two_processes_train_the_model_that_one_trains(of_one, of_two, sharded):
    tuning, directory = of_one
    one = load_file(directory / "through.safetensors")
    two = load_file(of_two / f"{tuning}-{sharded}" / "through.safetensors")
    assert one.keys() == two.keys()
    assert len(one["losses"]) == 4
    for name in one:
        torch.testing.assert_close(two[name], one[name], rtol=1e-5, atol=1e-5)
    one, two = (
        load_file(room / "model" / "model.safetensors")
        for room in (directory, of_two / f"{tuning}-{sharded}")
    )
    for name in one:
        torch.testing.assert_close(two[name], one[name], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("sharded", [False, True], ids=["each has all weights", "sharded"])
@pytest.mark.parametrize("tuning", SETTINGS)
def test_two_processes_take_a_training_up_where_they_left_it(of_two, tuning, sharded):
    room = of_two / f"{tuning}-{sharded}"
    through, again = (load_file(room / f"{n}.safetensors") for n in ("through", "again"))
    assert all(torch.equal(through[name], again[name]) for name in through)


def test_processes_share_the_passes_of_a_step_and_no_pass_is_lost():
    passes = ["a", "b", "c", "d", "e"]
    shares = [Ranks(rank, 3).deal(passes) for rank in range(3)]
    assert shares == [[(0, "a"), (3, "d")], [(1, "b"), (4, "e")], [(2, "c")]]
    assert Ranks(2, 3).most_passes(5) == 2


class Killer(Observer):
    """Kills its process without warning once a state is written and a step more is done."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def step_done(self, record: StepRecord) -> None:
        if record.step == 3:
            os.kill(os.getpid(), signal.SIGKILL)

    def wants_state(self) -> bool:
        return not self.file.exists()

    def keep_state(self, state: TrainingState) -> None:
        state.write(self.file, "test")


def killed(_: int, path: Path, file: Path) -> None:
    torch.set_num_threads(1)
    trainee = load_trainee(str(path), SETTINGS["full"], 0)
    train(trainee, tiny_data(lengths=LENGTHS), SETTINGS["full"], observer=Killer(file))


def test_a_training_that_was_killed_ends_with_the_same_bits(path, tmp_path):
    file = tmp_path / "state.safetensors"
    with pytest.raises(Exception, match="SIGKILL"):
        spawn(killed, (path, file), nprocs=1)
    results = []
    for state in (None, TrainingState.read(file, "test")):
        trainee = load_trainee(str(path), SETTINGS["full"], 0)
        train(trainee, tiny_data(lengths=LENGTHS), SETTINGS["full"], state=state)
        results.append(trainee.trained)
    assert state.records[-1].step == 1
    assert all(torch.equal(results[0][name], results[1][name]) for name in results[0])
