"""Directories that `datasets` saved: read as data only, and only if they are whole.

The names begin with the row of the catalogue of bad inputs that they hold to.
"""

import json
from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa
import pytest
from datasets import Dataset, DatasetDict, Features, Value

from tokensieve.errors import InputError
from tokensieve.ingest import Inventory, Row, RowReader, take_inventory
from tokensieve.settings import S3Settings

datasets.disable_progress_bars()

ROWS = [{"prompt": f"q{n}", "completion": f"a{n}"} for n in range(2500)]


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    path = tmp_path / "sums"
    Dataset.from_list(ROWS).save_to_disk(path, num_shards=2)
    return path


def inventory_of(path: Path | str, split: str = "train") -> Inventory:
    return take_inventory([str(path)], split, S3Settings())


def rows_of(inventory: Inventory) -> list[Row]:
    with RowReader(inventory.files) as reader:
        return [row for shard in inventory.shards for piece in shard for row in reader.rows(piece)]


def edit_json(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_a_saved_dataset_is_read_in_order_under_its_directory_name(saved: Path):
    inventory = inventory_of(saved)
    assert [file.name for file in inventory.files] == [
        "data-00000-of-00002.arrow",
        "data-00001-of-00002.arrow",
    ]
    assert {(file.source, file.format) for file in inventory.files} == {("sums", "arrow")}
    assert inventory.num_rows == (1250, 1250)
    rows = rows_of(inventory)
    assert [row.value for row in rows] == ROWS
    assert [row.line for row in rows[1249:1251]] == [1250, 1]


def test_a_split_is_chosen_by_its_name(tmp_path: Path):
    splits = {"train": Dataset.from_list(ROWS[:3]), "test": Dataset.from_list(ROWS[3:7])}
    DatasetDict(splits).save_to_disk(tmp_path / "sums")
    inventory = inventory_of(tmp_path / "sums", "test")
    assert [row.value for row in rows_of(inventory)] == ROWS[3:7]
    assert inventory.files[0].source == "sums"


def test_datasets_of_the_same_name_are_different_sources(tmp_path: Path):
    Dataset.from_list(ROWS[:8]).save_to_disk(tmp_path / "x" / "sums", num_shards=2)
    Dataset.from_list(ROWS[8:]).save_to_disk(tmp_path / "y" / "sums")
    folders = [str(tmp_path / name / "sums") for name in ("x", "y")]
    files = take_inventory(folders, "train", S3Settings()).files
    assert [file.source for file in files] == ["x/sums", "x/sums", "y/sums"]


def test_a_shuffled_dataset_is_read_as_it_was_saved(tmp_path: Path):
    shuffled = Dataset.from_list(ROWS[:50]).shuffle(seed=1)
    shuffled.save_to_disk(tmp_path / "sums")
    assert [row.value for row in rows_of(inventory_of(tmp_path / "sums"))] == shuffled.to_list()


def test_h01_a_directory_with_code_is_refused(saved: Path):
    (saved / "sums.py").write_text("raise SystemExit('ran')")
    with pytest.raises(InputError, match=r"contains code \('sums.py'\), which is never run"):
        inventory_of(saved)


@pytest.mark.parametrize(
    ("file", "message"),
    [
        ("state.json", r"state\.json: cannot be read: No such file"),
        ("data-00001-of-00002.arrow", "data-00001-of-00002.arrow: there is no such file"),
    ],
)
def test_h02_a_missing_file_is_named(saved: Path, file: str, message: str):
    (saved / file).unlink()
    with pytest.raises(InputError, match=message):
        inventory_of(saved)


@pytest.mark.parametrize(
    "state",
    [
        '{"_data_files": [',
        "[]",
        '{"_data_files": []}',
        "{}",
        '{"_data_files": ["data"]}',
        '{"_data_files": [{"filename": "data-00000-of-00002.arrow"}, 3]}',
    ],
)
def test_h02_a_damaged_state_is_named(saved: Path, state: str):
    (saved / "state.json").write_text(state)
    with pytest.raises(InputError, match=r"sums/state\.json"):
        inventory_of(saved)


@pytest.mark.parametrize("kept", [0, 8, 20_000, -1, -16])
def test_h02_a_cut_stream_is_refused(saved: Path, kept: int):
    path = saved / "data-00001-of-00002.arrow"
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(InputError, match=r"data-00001-of-00002.arrow: is no complete Arrow stream"):
        inventory_of(saved)


def test_h02_a_damaged_stream_is_refused(saved: Path):
    path = saved / "data-00000-of-00002.arrow"
    data = bytearray(path.read_bytes())
    data[4:40] = b"\x7f" * 36
    path.write_bytes(bytes(data))
    with pytest.raises(InputError, match=r"data-00000-of-00002.arrow: cannot be read"):
        inventory_of(saved)


def test_h02_offsets_beyond_the_data_are_not_followed(saved: Path):
    offsets = pa.array([0, 1 << 30, 2], pa.int32()).buffers()[1]
    wild = pa.Array.from_buffers(pa.string(), 2, [None, offsets, pa.py_buffer(b"qr")])
    batch = pa.record_batch({"prompt": wild, "completion": ["a", "b"]})
    with pa.ipc.new_stream(saved / "data-00000-of-00002.arrow", batch.schema) as stream:
        stream.write_batch(batch)
    with pytest.raises(InputError, match=r"data-00000-of-00002\.arrow: cannot be read"):
        inventory_of(saved)


def test_h03_a_missing_split_lists_those_there_are(tmp_path: Path):
    splits = {"train_sft": Dataset.from_list(ROWS[:3]), "test_sft": Dataset.from_list(ROWS[3:7])}
    DatasetDict(splits).save_to_disk(tmp_path / "sums")
    with pytest.raises(InputError, match=r"no split 'train', but 'train_sft, test_sft'.*--split"):
        inventory_of(tmp_path / "sums")


@pytest.mark.parametrize(
    ("name", "declared"),
    [
        ("prompt", {"dtype": "int64", "_type": "Value"}),
        ("score", {"dtype": "string", "_type": "Value"}),
    ],
)
def test_h04_data_that_are_not_what_is_declared_are_refused(
    saved: Path, name: str, declared: dict[str, str]
):
    info = saved / "dataset_info.json"
    features = json.loads(info.read_text())["features"]
    edit_json(info, features=features | {name: declared})
    with pytest.raises(InputError, match=f"column '{name}' is {declared['dtype']} by dataset_info"):
        inventory_of(saved)


@pytest.mark.parametrize("features", [[], {"prompt": 3}, {"prompt": {"_type": "No such type"}}])
def test_h04_declarations_that_are_none_are_refused(saved: Path, features: Any):
    edit_json(saved / "dataset_info.json", features=features)
    with pytest.raises(
        InputError, match=r"sums/dataset_info\.json: features: are none|is absent by"
    ):
        inventory_of(saved)


def test_h05_a_name_of_the_hub_is_not_looked_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=r"there is no such file or directory.*hf://NAME"):
        inventory_of("some/name")


def test_h05_the_hub_is_refused_while_offline(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("datasets.config.HF_HUB_OFFLINE", True)
    with pytest.raises(InputError, match=r"hf://some/name: could not be loaded.*download it first"):
        inventory_of("hf://some/name")


def test_h06_a_pointer_instead_of_data_is_called_so(saved: Path):
    pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n"
    (saved / "data-00000-of-00002.arrow").write_bytes(pointer)
    with pytest.raises(InputError, match="is a Git LFS pointer"):
        inventory_of(saved)


def test_h07_a_dangling_link_is_refused(saved: Path):
    path = saved / "data-00000-of-00002.arrow"
    path.unlink()
    path.symlink_to("/nowhere/cache")
    with pytest.raises(InputError, match="is a dangling link: /nowhere/cache is gone"):
        inventory_of(saved)


def test_h08_images_are_not_decoded(tmp_path: Path):
    rows = [row | {"seen": {"bytes": b"no image at all", "path": None}} for row in ROWS[:2]]
    plain = {"bytes": Value("binary"), "path": Value("string")}
    features = Features({"prompt": Value("string"), "completion": Value("string"), "seen": plain})
    Dataset.from_list(rows, features=features).save_to_disk(tmp_path / "sums")
    declared = features.to_dict() | {"seen": {"_type": "Image"}}
    edit_json(tmp_path / "sums" / "dataset_info.json", features=declared)
    found = rows_of(inventory_of(tmp_path / "sums"))
    assert [row.value for row in found] == ROWS[:2]
    assert [row.num_unread for row in found] == [1, 1]


def test_h10_a_dataset_edited_after_planning_is_refused(saved: Path):
    inventory = inventory_of(saved)
    path = saved / "data-00001-of-00002.arrow"
    path.write_bytes(path.read_bytes().replace(b"q1300", b"q1301"))
    with pytest.raises(InputError, match=r"data-00001-of-00002.arrow:1: changed since the run"):
        rows_of(inventory)


def test_data_files_outside_the_directory_are_refused(saved: Path):
    edit_json(saved / "state.json", _data_files=[{"filename": "../other/data.arrow"}])
    with pytest.raises(InputError, match="names no files of this directory"):
        inventory_of(saved)
