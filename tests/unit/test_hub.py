"""An export on the hub: its data as it is, in one commit to a private dataset."""

import runpy
from types import SimpleNamespace

import pytest
from datasets import config
from huggingface_hub import constants

from tasks.export import Wanted, export
from tests.drops import write_drop
from tests.hub_server import running_hub
from tests.tiny_exports import every_other, export_of, make_selected
from tests.tiny_models import build_tiny_model
from tokensieve.errors import DamagedError, ServiceError, SettingsError
from tokensieve.exports import FORMATS
from tokensieve.settings import S3Settings
from tokensieve.storage import LocalStorage

NAME = "me/cleaned"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    directory = tmp_path_factory.mktemp("hub")
    base = build_tiny_model(directory / "base", hidden=16)
    drop = write_drop(directory / "drop.jsonl", num_rows=5)
    selection = make_selected(LocalStorage(directory / "workspace"), drop, base, every_other)
    return SimpleNamespace(base=base, selection=selection, output=directory / "exports")


@pytest.fixture
def hub(monkeypatch):
    with running_hub() as hub:
        monkeypatch.setattr(constants, "ENDPOINT", hub.address)
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setenv("HF_TOKEN", "hf_token")
        yield hub


def pushed(made, name=NAME, format="trl", base=None):
    wanted = Wanted(made.selection.id, format, str(made.output), base, name)
    return export(made.selection.storage, wanted, S3Settings())


def test_the_data_is_on_the_hub_byte_by_byte_with_the_card_as_the_page(made, hub):
    told = pushed(made)
    place = export_of(made.selection, "trl", made.output, None).place

    files = {p.relative_to(place).as_posix(): p.read_bytes() for p in place.rglob("*.*")}
    files["README.md"] = files["card.md"]
    recipe = hub.files.pop("train.py")
    assert hub.files == {name: data for name, data in files.items() if name != "train.py"}
    assert recipe != files["train.py"]
    assert "data/train-00000-of-00001.parquet" in hub.files
    assert (hub.private, hub.commits) == ({NAME: True}, 1)
    assert hub.tokens == {"Bearer hf_token"}
    assert told.splitlines()[-1] == f"  pushed: https://huggingface.co/datasets/{NAME}"


PUSHABLE = [name for name, format in FORMATS.items() if format.table]


@pytest.mark.parametrize("format", PUSHABLE)
def test_nothing_on_the_hub_tells_of_this_machine(made, hub, format):
    pushed(made, format=format, base=str(made.base))
    export = export_of(made.selection, format, made.output, made.base)
    (export.place / "trained").mkdir()
    (export.place / "trained/notes.txt").write_text("mine")
    pushed(made, format=format, base=str(made.base))
    [recipe] = export.found()["export"]["recipe"]

    assert str(made.base) in (export.place / recipe).read_text()
    assert f'"{NAME}"' in hub.files[recipe].decode().replace("'", '"')
    here = str(made.output.parent).encode()
    assert [name for name, data in hub.files.items() if here in data] == []
    assert "trained/notes.txt" not in hub.files


@pytest.mark.parametrize(
    ("format", "recipe", "rows_of"),
    [
        ("jsonl", "read.py", lambda recipe: recipe["rows"]),
        ("preshifted", "tokensieve_data.py", lambda recipe: recipe["train_dataset"](None)),
    ],
)
def test_a_recipe_of_the_hub_loads_the_rows_by_the_name_of_the_dataset(
    made, hub, tmp_path, monkeypatch, format, recipe, rows_of
):
    """A directory of that name stands for the hub: datasets reads both by the head of the page."""
    pushed(made, format=format)
    for name, data in hub.files.items():
        path = tmp_path / NAME / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    (tmp_path / recipe).write_bytes(hub.files[recipe])
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(config, "HF_DATASETS_CACHE", tmp_path / "cache")

    assert len(rows_of(runpy.run_path(recipe))) == 4


def test_data_that_was_altered_is_not_pushed(made, hub, tmp_path):
    elsewhere = SimpleNamespace(selection=made.selection, output=tmp_path)
    export_of(made.selection, "trl", tmp_path, None).made()
    [file] = tmp_path.glob("trl-*/data/*")
    file.write_bytes(bytes(file.stat().st_size))

    with pytest.raises(DamagedError, match="has another hash than card"):
        pushed(elsewhere)
    assert (hub.files, hub.commits) == ({}, 0)


def test_nothing_is_pushed_to_a_public_dataset(made, hub):
    hub.private[NAME] = False

    with pytest.raises(SettingsError, match="me/cleaned is there and public"):
        pushed(made)
    assert hub.files == {}


def test_a_hub_that_does_not_answer_is_told_and_the_export_stands(made, hub, monkeypatch):
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")

    with pytest.raises(ServiceError, match="--push: the hub did not take me/cleaned"):
        pushed(made)
    assert export_of(made.selection, "trl", made.output, None).found()
