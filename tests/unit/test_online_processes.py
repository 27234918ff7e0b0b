"""Several processes choose at every step what one process chooses."""

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.distributed as dist
from safetensors.torch import load_file, save_file
from torch.multiprocessing import spawn

from tests.tiny_training import build_tied_model, chosen_data, tiny_shard
from tokensieve.settings import LoraSettings, SelectionSettings, TrainingSettings
from tokensieve.training import (
    ALONE,
    Observer,
    Ranks,
    TrainingState,
    load_trainee,
    shard_over_ranks,
    train,
)

LENGTHS = [9, 4, 6, 12, 5, 7, 8, 3]
COMMON = {"learning_rate": 1e-3, "epochs": 2, "step_samples": 5, "batch_tokens": 12}
SETTINGS = {
    "full": TrainingSettings(tuning="full", precision="float32", **COMMON),
    "lora": TrainingSettings(
        precision="bfloat16", gradient_checkpointing=True, lora=LoraSettings(rank=4), **COMMON
    ),
}
SELECTIONS = {
    "rho-1": SelectionSettings(method="rho-1"),
    "sstoken-online": SelectionSettings(method="sstoken-online"),
    # four of the samples keep nothing, so that passes are fewer than those that scored
    "profit": SelectionSettings(method="profit", parameters={"tau": 0.0025}),
}
WAYS = [("full", "rho-1"), ("full", "profit"), ("lora", "sstoken-online")]


class Watch(Observer):
    """Keeps the state after the first step, and what was decided."""

    def __init__(self, file: Path) -> None:
        self.file, self.weight_T = file, None

    def wants_state(self) -> bool:
        return not self.file.exists()

    def keep_state(self, state: TrainingState) -> None:
        state.write(self.file, "test")

    def weights_decided(self, weight_T) -> None:
        self.weight_T = weight_T


def trained(path: Path, way: tuple[str, str], sharded: bool, ranks: Ranks, room: Path) -> None:
    """Train, take up the middle of it again, and write what came out of both."""
    tuning, name = way
    data, settings = chosen_data(SELECTIONS[name], tiny_shard(LENGTHS)), SETTINGS[tuning]
    for turn in ("through", "again"):
        trainee = load_trainee(str(path), settings, 0)
        if sharded:
            shard_over_ranks(trainee)
        watch = Watch(room / "state.safetensors")
        state = TrainingState.read(watch.file, "test") if turn == "again" else None
        records = train(trainee, data, settings, ranks, state, watch)
        found = ranks.gathered(trainee.trained)
        found["losses"] = torch.tensor([record.loss or -1.0 for record in records])
        found["kept"] = torch.tensor([record.kept_tokens for record in records])
        found["decided"] = torch.from_numpy(watch.weight_T).nan_to_num(-1)
        assert len(set(ranks.everybodys(found["decided"].numpy().tobytes()))) == 1
        if ranks.rank == 0:
            save_file(found, room / f"{turn}.safetensors")
    ranks.everybodys(None)  # nobody reads a state before it is written


def work(rank: int, path: Path, directory: Path) -> None:
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo", init_method=f"file://{directory}/meeting", rank=rank, world_size=2
    )
    for way in WAYS:
        for sharded in (False, True):
            room = directory / f"{'-'.join(way)}-{sharded}"
            room.mkdir(exist_ok=True)
            trained(path, way, sharded, Ranks(rank, 2), room)
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


@pytest.fixture(scope="module", params=WAYS, ids="-".join)
def of_one(request, path, tmp_path_factory) -> tuple[str, dict[str, torch.Tensor]]:
    directory = tmp_path_factory.mktemp("one")
    trained(path, request.param, False, ALONE, directory)
    return "-".join(request.param), load_file(directory / "through.safetensors")


@pytest.mark.parametrize("sharded", [False, True], ids=["each has all weights", "sharded"])
def test_two_processes_choose_the_tokens_and_train_the_model_of_one(of_one, of_two, sharded):
    name, one = of_one
    two = load_file(of_two / f"{name}-{sharded}" / "through.safetensors")

    assert one.keys() == two.keys()
    assert torch.equal(one["decided"], two["decided"])
    assert torch.equal(one["kept"], two["kept"])
    assert 0 < np.count_nonzero(one["decided"] > 0) < np.count_nonzero(one["decided"] >= 0)
    for each in one:
        torch.testing.assert_close(two[each], one[each], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("sharded", [False, True], ids=["each has all weights", "sharded"])
@pytest.mark.parametrize("way", WAYS, ids="-".join)
def test_two_processes_take_a_training_up_where_they_left_it(of_two, way, sharded):
    room = of_two / f"{'-'.join(way)}-{sharded}"
    through, again = (load_file(room / f"{n}.safetensors") for n in ("through", "again"))
    assert all(torch.equal(through[name], again[name]) for name in through)
