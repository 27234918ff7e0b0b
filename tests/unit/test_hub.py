"""An export on the hub: its bytes as they are, in one commit to a private dataset."""

from types import SimpleNamespace

import pytest
from huggingface_hub import constants

from tasks.export import Wanted, export
from tests.drops import write_drop
from tests.hub_server import running_hub
from tests.tiny_exports import every_other, export_of, make_selected
from tests.tiny_models import build_tiny_model
from tokensieve.errors import DamagedError, ServiceError, SettingsError
from tokensieve.settings import S3Settings
from tokensieve.storage import LocalStorage

NAME = "me/cleaned"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    directory = tmp_path_factory.mktemp("hub")
    base = build_tiny_model(directory / "base", hidden=16)
    drop = write_drop(directory / "drop.jsonl", num_rows=5)
    selection = make_selected(LocalStorage(directory / "workspace"), drop, base, every_other)
    return SimpleNamespace(selection=selection, output=directory / "exports")


@pytest.fixture
def hub(monkeypatch):
    with running_hub() as hub:
        monkeypatch.setattr(constants, "ENDPOINT", hub.address)
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setenv("HF_TOKEN", "hf_token")
        yield hub


def pushed(made, name=NAME):
    wanted = Wanted(made.selection.id, "trl", str(made.output), None, name)
    return export(made.selection.storage, wanted, S3Settings())


def test_every_byte_of_the_export_is_on_the_hub_with_the_card_as_the_page(made, hub):
    told = pushed(made)
    place = export_of(made.selection, "trl", made.output, None).place

    files = {p.relative_to(place).as_posix(): p.read_bytes() for p in place.rglob("*.*")}
    assert hub.files == files | {"README.md": files["card.md"]}
    assert "data/train-00000-of-00001.parquet" in hub.files
    assert (hub.private, hub.commits) == ({NAME: True}, 1)
    assert hub.tokens == {"Bearer hf_token"}
    assert told.splitlines()[-1] == f"  pushed: https://huggingface.co/datasets/{NAME}"


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
