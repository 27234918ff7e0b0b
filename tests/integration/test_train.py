"""The train flow end to end: on a selection of a cleaning, alone and with two processes."""

import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from flows.clean import clean
from flows.cli import main
from flows.train import train
from tests.drops import write_drop
from tests.reading import rows
from tests.workspaces import ids, published
from tokensieve.artifact import load_artifact
from tokensieve.errors import SettingsError
from tokensieve.models import load_model, model_fingerprint
from tokensieve.runs import load_run
from tokensieve.settings import CleanSettings, TrainSettings
from tokensieve.storage import LocalStorage

pytestmark = pytest.mark.usefixtures("prefect_server", "ray_cluster")

TRAINING = {"tuning": "full", "learning_rate": 3e-3, "epochs": 3, "step_samples": 12}
FLAGS = ["--tuning", "full", "--learning-rate", "3e-3", "--epochs", "3", "--step-samples", "12"]


@pytest.fixture(scope="module")
def cleaned(models, tmp_path_factory, prefect_server):
    """Return a workspace with a selection that costs no scores, and the name of its run."""
    drop = write_drop(tmp_path_factory.mktemp("drop") / "drop.jsonl", num_rows=48)
    workspace = tmp_path_factory.mktemp("workspace")
    control = CleanSettings(
        files=(str(drop),),
        base=models.base,
        workspace=str(workspace),
        corpus={"template": "tulu"},
        selection={"method": "random"},
    )
    return workspace, clean(control).run


def settings(models, workspace, selection, **cluster) -> TrainSettings:
    return TrainSettings(
        base=models.base,
        workspace=str(workspace),
        selection=selection,
        training={"batch_tokens": 128, **TRAINING},
        cluster={"workers": 2, **cluster},
    )


@pytest.fixture(scope="module")
def trained(cleaned, models, prefect_server, ray_cluster):
    workspace, selection = cleaned
    return train(settings(models, workspace, selection))


def model_of(workspace, summary):
    storage = LocalStorage(workspace)
    [round] = load_run(storage, summary.run).planned_rounds(storage)
    return load_artifact(storage, "models", round.model)


def weights_of(workspace, summary) -> dict[str, torch.Tensor]:
    model = model_of(workspace, summary)
    folder = Path(model.folder(model.required_receipt(0), "model"))
    return load_file(folder / "model.safetensors")


def test_the_trained_model_is_a_model_like_any_other(trained, cleaned, models):
    model = model_of(cleaned[0], trained)
    path = model.folder(model.required_receipt(0), "model")

    assert trained.places["model"] == path
    assert load_model(path, "float32", 0).num_parameters() == (
        load_model(models.base, "float32", 0).num_parameters()
    )
    assert model.committed().notes == {"fingerprint": model_fingerprint(path)}
    assert load_run(LocalStorage(cleaned[0]), trained.run).is_finished(LocalStorage(cleaned[0]))


def test_the_index_knows_the_training_step_by_step(trained, cleaned):
    storage, model = LocalStorage(cleaned[0]), model_of(cleaned[0], trained)
    [training] = rows(
        storage,
        "SELECT model, selection, samples, steps, skipped_steps, kept_tokens, seconds > 0"
        " FROM trainings",
    )
    steps = rows(storage, "SELECT step, loss, seconds FROM training_steps ORDER BY step")
    costs = rows(storage, f"SELECT step, tokens FROM step_costs WHERE run = '{trained.run}'")

    kept = trained.stats["kept_tokens"]
    assert training == (model.id, model.plan["selection"], 48, 12, 0, kept, True)
    assert [step for step, _, _ in steps] == list(range(1, 13))
    assert steps[-1][1] < steps[0][1] - 0.5  # nats
    assert all(seconds is not None for _, _, seconds in steps)
    assert ("model", model.committed().totals["tokens"]) in costs


def test_a_second_call_trains_nothing(trained, cleaned, models, monkeypatch):
    workspace, selection = cleaned
    monkeypatch.setattr("tasks.training.connect", None)
    before = published(workspace)

    assert train(settings(models, workspace, selection)) == trained
    assert published(workspace) == before


def test_a_schedule_gives_the_same_settings_as_json(trained, cleaned, models, monkeypatch):
    monkeypatch.setattr("tasks.training.connect", None)
    parameters = settings(models, *cleaned).model_dump(mode="json")

    assert train(parameters) == trained


@pytest.mark.parametrize(
    "fsdp",
    [
        pytest.param(False, id="each has all weights"),
        pytest.param(True, id="sharded", marks=pytest.mark.slow),
    ],
)
def test_two_processes_train_the_model_that_one_trains(trained, cleaned, models, tmp_path, fsdp):
    workspace, selection = cleaned
    shutil.copytree(workspace, tmp_path / "w", ignore=shutil.ignore_patterns("models", "train-*"))

    summary = train(settings(models, tmp_path / "w", selection, ranks=2, fsdp=fsdp))

    assert model_of(tmp_path / "w", summary).id == model_of(workspace, trained).id
    one, two = weights_of(workspace, trained), weights_of(tmp_path / "w", summary)
    before = load_file(f"{models.base}/model.safetensors")
    assert one.keys() == two.keys()
    for name in one:
        torch.testing.assert_close(two[name], one[name], rtol=1e-5, atol=1e-5)
    assert max((one[name] - before[name]).abs().max() for name in one) > 0.01
    assert not list((tmp_path / "w").rglob("checkpoints/*"))
    assert not list((tmp_path / "w").glob(".tmp-*"))


def test_a_selection_that_is_not_there_is_refused_before_anything_is_written(
    cleaned, models, trained
):
    before = published(cleaned[0])

    with pytest.raises(SettingsError, match="there is no selection and no run"):
        train(settings(models, cleaned[0], "random-x"))

    assert published(cleaned[0]) == before


def test_the_command_trains_from_a_model_of_the_workspace(trained, cleaned, models, capsys):
    """What it trains is named by the flags, whatever the flow above has called it."""
    workspace, selection = cleaned
    first = model_of(workspace, trained)
    arguments = ["--base", models.base, "--workspace", str(workspace), "--workers", "2"]
    before = ids(workspace, "models")

    with pytest.raises(SystemExit) as left:
        main(["train", selection, "--init", first.id, *arguments, *FLAGS])

    assert left.value.code == 0
    [made] = ids(workspace, "models") - before
    model = load_artifact(LocalStorage(workspace), "models", made)
    assert model.plan["init"] == first.committed().notes["fingerprint"]
    assert f"models/{made}/model-" in capsys.readouterr().out
