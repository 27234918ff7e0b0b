"""Links that others plant where we write, and in what they hand over."""

import os
from pathlib import Path

import pytest

from sql.index import update_index
from sql.named_queries import parsed_query
from tasks.query import answer
from tokensieve.errors import InputError, ResourceError
from tokensieve.ingest.directories import find_files
from tokensieve.settings import S3Settings
from tokensieve.storage import LocalStorage

NOBODY = 65534


@pytest.fixture
def storage(tmp_path) -> LocalStorage:
    storage = LocalStorage(tmp_path / "workspace")
    storage.probe()
    return storage


@pytest.fixture
def outside(tmp_path) -> Path:
    directory = tmp_path / "outside"
    directory.mkdir()
    return directory


def plant(link: Path, target: Path, owner: int) -> None:
    """Make a link as another user would."""
    link.symlink_to(target)
    try:
        os.chown(link, owner, owner, follow_symlinks=False)
    except PermissionError:
        pytest.skip("may not act for another user here")


def test_a_directory_of_a_workspace_that_another_user_links_elsewhere_is_not_written_to(
    storage, outside
):
    plant(storage.root / "evaluations", outside, NOBODY)

    for write in (storage.create, storage.replace_bytes):
        with pytest.raises(ResourceError, match=f"is a link that user {NOBODY} made, and leads to"):
            write("evaluations/0/PLAN.json", b"{}")

    assert list(outside.iterdir()) == []


def test_a_workspace_that_is_another_users_link_is_refused(outside, tmp_path):
    plant(tmp_path / "workspace", outside, NOBODY)

    with pytest.raises(ResourceError, match=f"is a link that user {NOBODY} made"):
        LocalStorage(tmp_path / "workspace").probe()

    assert list(outside.iterdir()) == []


def test_a_directory_that_the_owner_of_a_workspace_links_elsewhere_is_written_to(storage, outside):
    (storage.root / "evaluations").symlink_to(outside)

    assert storage.create("evaluations/0/PLAN.json", b"{}")

    assert (outside / "0" / "PLAN.json").read_bytes() == b"{}"


def test_no_byte_goes_through_a_link_that_stands_where_a_file_is_to_be_written(storage, outside):
    link, target = storage.root / "runs" / "planted.json", outside / "target"
    link.parent.mkdir()
    link.symlink_to(target)

    assert not storage.create("runs/planted.json", b"ours")
    storage.replace_bytes("runs/planted.json", b"ours")

    assert not target.exists()
    assert link.read_bytes() == b"ours"
    assert not link.is_symlink()


def test_no_lock_is_taken_through_a_link(storage, outside):
    storage.path("index").mkdir(exist_ok=True)
    (storage.root / "index" / ".lock").symlink_to(outside / "target")

    with pytest.raises(OSError, match="symbolic links"), storage.lock("index/tokensieve.duckdb"):
        pass

    assert not (outside / "target").exists()


def test_an_answer_takes_the_place_of_a_link_and_does_not_go_through_it(storage, outside):
    update_index(storage)
    target, output = outside / "target", storage.root.parent / "answer.csv"
    target.write_text("of another")
    output.symlink_to(target)

    answer(storage, parsed_query("the query", "SELECT 1 AS one"), {}, "csv", output)

    assert target.read_text() == "of another"
    assert output.read_text() == "one\n1\n"


@pytest.mark.parametrize("form", ["plain", "datasets"])
def test_a_folder_that_links_to_what_is_not_in_it_is_refused(tmp_path, outside, form):
    secret, folder = outside / "secret", tmp_path / "folder"
    secret.write_text('{"id": 1}')
    folder.mkdir()
    if form == "datasets":
        (folder / "state.json").write_text('{"_data_files": [{"filename": "a.jsonl"}]}')
    (folder / "a.jsonl").symlink_to(secret)

    with pytest.raises(InputError, match=r"a\.jsonl: is a link out of its folder"):
        find_files([str(folder)], "train", S3Settings())
