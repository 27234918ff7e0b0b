"""Folders of files in an artifact, such as a model: published whole, found damaged by name."""

import json
import shutil
from pathlib import Path

import pyarrow as pa
import pytest

from tokensieve.artifact import Artifact
from tokensieve.documents import canonical_json, content_id
from tokensieve.errors import DamagedError
from tokensieve.storage import LocalStorage, sha256_hex
from tokensieve.verification import Verification

PLAN = {"kind": "models", "num_shards": 1, "init": "abc"}
FILES = {"config.json": b"{}", "weights.safetensors": b"w" * 1000, "deep/er/notes.txt": b"notes"}
STEPS = pa.table({"step": [1, 2]})


@pytest.fixture
def storage(tmp_path):
    return LocalStorage(tmp_path / "workspace")


def publish(storage: LocalStorage, files=FILES, adapter=None) -> Artifact:
    """Publish folders with these files as a model, as a training does; commit it."""
    model = Artifact(storage, "models", PLAN)
    model.declare()
    with storage.scratch() as scratch:
        folders = {"model": files, "adapter": adapter}
        for name, content in folders.items():
            for inside, data in (content or {}).items():
                path = scratch / name / inside
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(data)
        ready = {name: scratch / name for name, content in folders.items() if content}
        model.publish(0, {"steps": STEPS}, {"tokens": 3}, ready)
    model.commit()
    return model


def path_of(model: Artifact, part: str) -> Path:
    return model.storage.path(model.stated_receipt(0).files[part].key)


def tree(storage: LocalStorage) -> dict[str, bytes]:
    paths = (path for path in sorted(storage.root.rglob("*")) if path.is_file())
    return {str(path.relative_to(storage.root)): path.read_bytes() for path in paths}


def test_a_folder_lies_there_as_it_was_with_all_that_is_nested_in_it(storage):
    model = publish(storage)

    folder = Path(model.folder(model.required_receipt(0), "model"))

    assert {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    } == FILES


def test_a_folder_is_named_by_all_of_its_content(storage):
    model = publish(storage)

    hashes = {name: sha256_hex(data) for name, data in FILES.items()}
    assert model.folder(model.required_receipt(0), "model") == storage.place(
        f"{model.key}/model-{content_id(hashes)}"
    )


def test_each_file_is_in_the_receipt_with_its_size_and_hash(storage):
    files = publish(storage).required_receipt(0).files

    assert files.keys() == {"steps", *(f"model/{name}" for name in FILES)}
    for name, data in FILES.items():
        file = files[f"model/{name}"]
        assert (file.num_bytes, file.sha256, file.num_rows) == (len(data), sha256_hex(data), None)
    assert files["steps"].num_rows == 2


def test_several_folders_lie_side_by_side(storage):
    model = publish(storage, adapter={"adapter.json": b"{}"})
    receipt = model.required_receipt(0)

    folder = Path(model.folder(receipt, "adapter"))
    assert folder.name.startswith("adapter-")
    assert [path.name for path in folder.iterdir()] == ["adapter.json"]
    assert model.read_table(receipt, "steps").equals(STEPS)


def test_nothing_of_the_scratch_stays(storage):
    publish(storage)

    assert [path.name for path in storage.root.iterdir()] == ["models"]


def test_the_same_folder_published_again_changes_nothing(storage):
    publish(storage)
    before = {path: path.stat().st_ino for path in storage.root.rglob("*")}

    publish(storage)

    assert {path: path.stat().st_ino for path in storage.root.rglob("*")} == before


def test_of_two_writers_the_first_receipt_stands_and_no_file_is_mixed_with_another(storage):
    """Two trainings may end with other last bits; the files of both lie under their own names."""
    first = publish(storage)
    before = first.required_receipt(0)

    second = publish(storage, {**FILES, "weights.safetensors": b"x" * 1000})

    assert second.required_receipt(0) == before
    assert Path(first.folder(before, "model"), "weights.safetensors").read_bytes() == b"w" * 1000
    assert len(list(storage.path(first.key).glob("model-*"))) == 2
    assert Verification(storage).damages == []


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("damage", ["flip", "cut", "longer", "missing"])
def test_a_damaged_file_is_named_and_the_message_says_how_to_heal_it(storage, name, damage):
    model = publish(storage)
    expected = tree(storage)
    path = path_of(model, f"model/{name}")
    data = path.read_bytes()
    path.unlink()
    if damage != "missing":
        flipped = bytes([data[0] ^ 1]) + data[1:]
        path.write_bytes({"flip": flipped, "cut": data[:-1], "longer": data + b"x"}[damage])

    for read in (lambda: model.receipt(0), lambda: model.commit()):
        with pytest.raises(DamagedError) as raised:
            read()

    here = storage.path(model.key)
    for file in (path, here / "receipts/00000.json", here / "COMMIT.json"):
        assert str(file) in str(raised.value)
        file.unlink(missing_ok=True)
    publish(storage)
    assert tree(storage) == expected


def test_verify_names_a_file_of_a_folder_with_a_flipped_bit(storage):
    model = publish(storage)
    path = path_of(model, "model/deep/er/notes.txt")
    path.write_bytes(b"motes")

    [damage] = Verification(storage).damages

    assert damage.startswith(f"{path}: its content changed after it was published")


def test_a_damaged_file_under_the_name_of_a_new_folder_is_refused(storage):
    model = publish(storage)
    path = path_of(model, "model/config.json")
    for document in ("receipts/00000.json", "COMMIT.json"):
        storage.path(f"{model.key}/{document}").unlink()
    path.write_bytes(b"[]")

    with pytest.raises(DamagedError, match=str(path)):
        publish(storage)

    assert model.stated_receipt(0) is None


@pytest.mark.parametrize(
    "change",
    [
        lambda files: files["model/config.json"].update(sha256="0" * 64),
        lambda files: files["model/config.json"].update(key="models/x/model-y/config.json"),
        lambda files: files.pop("model/config.json"),
        lambda files: files.update({"model/more": files["model/config.json"]}),
    ],
)
def test_an_edited_list_of_files_is_refused(storage, change):
    model = publish(storage)
    path = storage.path(f"{model.key}/receipts/00000.json")
    document = json.loads(path.read_bytes())
    change(document["content"]["files"])
    document["sha256"] = sha256_hex(canonical_json(document["content"])[:-1])
    path.write_bytes(canonical_json(document))

    with pytest.raises(DamagedError, match=str(path)):
        model.receipt(0)


def test_a_model_that_was_moved_with_its_workspace_is_still_whole(storage, tmp_path):
    model = publish(storage)
    shutil.move(storage.root, tmp_path / "moved")
    moved = Artifact(LocalStorage(tmp_path / "moved"), "models", PLAN)

    assert moved.required_receipt(0).counts == {"tokens": 3}
    assert Path(moved.folder(moved.required_receipt(0), "model")).is_dir()
    assert moved.id == model.id
