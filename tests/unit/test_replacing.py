"""Files that are replaced: by whoever saw what stood there last, on a disk and in a store."""

import subprocess
import sys

import pytest

from tests.scripts import REPOSITORY
from tokensieve.errors import DamagedError, ResourceError
from tokensieve.storage import LocalStorage, Storage, open_storage

HOLD = """
import sys
from pathlib import Path
from tokensieve.storage import LocalStorage
with LocalStorage(Path(sys.argv[1])).lock("index/a"):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture(params=["a disk", "a store"])
def storage(request, tmp_path) -> Storage:
    if request.param == "a disk":
        return LocalStorage(tmp_path / "workspace")
    bucket = request.getfixturevalue("s3")
    return open_storage(bucket.address(), bucket.settings)


def replaced(storage: Storage, data: bytes, version: str | None) -> bool:
    with storage.scratch() as scratch:
        ready = scratch / "ready"
        ready.write_bytes(data)
        return storage.replace_version("index/a", ready, version)


def test_only_who_saw_the_version_that_stands_there_replaces_it(storage):
    assert storage.version("index/a") is None
    assert not replaced(storage, b"first", "a version that never was")
    assert storage.version("index/a") is None

    assert replaced(storage, b"first", None)
    first = storage.version("index/a")
    assert not replaced(storage, b"other", None)
    assert replaced(storage, b"second", first)
    assert not replaced(storage, b"third", first)

    assert storage.read("index/a") == b"second"
    assert storage.version("index/a") not in (None, first)


def test_the_file_on_this_machine_is_the_one_that_stands_there_now(storage):
    replaced(storage, b"first", None)
    with storage.local("index/a").open("rb") as reader:
        replaced(storage, b"second", storage.version("index/a"))

        assert storage.local("index/a").read_bytes() == b"second"
        assert reader.read() == b"first"


def test_a_range_is_read_without_the_rest(storage):
    storage.create("a", b"0123456789")

    assert storage.read_range("a", 2, 5) == b"234"
    assert storage.read_range("a", 8, 10) == b"89"
    with pytest.raises(DamagedError, match="/b: is missing"):
        storage.read_range("b", 0, 1)


def test_who_waits_too_long_for_a_lock_is_told_and_the_lock_of_the_dead_is_free(
    tmp_path, monkeypatch
):
    storage = LocalStorage(tmp_path)
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)],
        cwd=REPOSITORY,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    try:
        assert holder.stdout.readline() == b"held\n"
        monkeypatch.setattr("tokensieve.storage.locking.LOCK_SECONDS", 0.1)
        with (
            pytest.raises(ResourceError, match="index/a: another process"),
            storage.lock("index/a"),
        ):
            pass
        with storage.lock("other/a"):
            pass
    finally:
        holder.kill()
        holder.wait()

    with storage.lock("index/a"):
        assert (tmp_path / "index" / ".lock").is_file()
