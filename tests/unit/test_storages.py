"""What every place for a workspace does, whichever it is."""

import multiprocessing
import os
import pickle
import threading

import pytest

from tokensieve.errors import DamagedError, SettingsError
from tokensieve.settings import S3Settings
from tokensieve.storage import LocalStorage, Storage, open_storage, sha256_hex


@pytest.fixture(params=["local", "s3"])
def storage(request, tmp_path):
    if request.param == "local":
        storage = open_storage(str(tmp_path / "workspace"), S3Settings())
    else:
        s3 = request.getfixturevalue("s3")
        storage = open_storage(s3.address("some/workspace"), s3.settings)
    storage.probe()
    return storage


def written(path, data: bytes):
    path.write_bytes(data)
    return path


def test_a_created_key_is_read_back(storage):
    assert storage.create("scores/a/PLAN.json", b"plan") is True

    assert storage.read("scores/a/PLAN.json") == b"plan"
    assert storage.exists("scores/a/PLAN.json")
    assert storage.place("scores/a/PLAN.json") == f"{storage}/scores/a/PLAN.json"
    assert storage.local("scores/a/PLAN.json").read_bytes() == b"plan"


def test_what_a_killed_check_wrote_is_left_and_is_discarded(storage):
    probe, answer = f"probe-{'0' * 16}", f"probe-{'0' * 16}-{'a1' * 8}"
    others = ("probe-of-mine", "probe", f"runs/{probe}", "CURRENT")
    for key in (probe, answer, *others):
        storage.create(key, b"data")

    left = list(storage.leftovers())

    assert [each.key for each in left] == [probe, answer]
    assert [each.num_bytes for each in left] == [4, 4]
    assert all(-5 < each.age < 60 for each in left)
    for each in left * 2:
        storage.discard(each)
    assert list(storage.leftovers()) == []
    assert not storage.exists(probe)
    assert all(map(storage.exists, others))


def test_what_was_never_created_is_not_there(storage):
    assert storage.read("a/b") is None
    assert not storage.exists("a/b")
    assert storage.version("a/b") is None
    assert storage.names("a") == []
    storage.remove("a/b")
    with pytest.raises(FileNotFoundError):
        storage.local("a/b")


@pytest.mark.parametrize("data", [b"", b"first", bytes(40_000_000)], ids=["empty", "small", "big"])
def test_a_key_that_exists_is_never_overwritten(storage, tmp_path, data):
    storage.create_from("a/b", written(tmp_path / "ready", data))

    assert storage.create("a/b", b"second") is False
    assert storage.create_from("a/b", written(tmp_path / "other", b"third")) is False
    assert storage.read("a/b") == data
    assert storage.verify("a/b", sha256_hex(data)) == len(data)
    assert storage.local("a/b").read_bytes() == data


def test_of_many_writers_of_one_key_exactly_one_wins(storage):
    barrier = threading.Barrier(8)
    won: list[bytes] = []

    def write(data: bytes) -> None:
        barrier.wait()
        if storage.create("x/y/z", data):
            won.append(data)

    threads = [threading.Thread(target=write, args=(bytes([n]) * 100_000,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(won) == 1
    assert storage.read("x/y/z") == won[0]


def create_own(storage: Storage) -> bool:
    """In a process of its own."""
    return storage.create("a", str(os.getpid()).encode())


def test_processes_that_are_given_the_storage_race_and_exactly_one_wins(storage):
    with multiprocessing.get_context("spawn").Pool(3) as pool:
        answers = pool.map(create_own, [storage] * 3, chunksize=1)

    assert sorted(answers) == [False, False, True]
    assert int(storage.read("a") or b"") > 0


def test_a_storage_is_a_recipe(storage):
    storage.create("a", b"")  # the connection has been made
    copy = pickle.loads(pickle.dumps(storage))

    assert copy == storage
    assert hash(copy) == hash(storage)
    assert copy.exists("a")


def test_names_are_those_directly_below_and_sorted(storage):
    for key in ("d/b", "d/a", "d/c/x", "d/c/y", "da/z"):
        storage.create(key, b"")

    assert storage.names("d") == ["a", "b", "c"]
    assert storage.names("d/c") == ["x", "y"]
    assert storage.names("d/a") == []


def test_files_are_all_below_with_their_sizes_and_ages(storage):
    for key, data in {"d/b": b"12", "d/c/x": b"123", "e": b""}.items():
        storage.create(key, data)

    files = sorted((file.key, file.num_bytes) for file in storage.files("d"))

    assert files == [("d/b", 2), ("d/c/x", 3)]
    assert all(-2 < file.age < 60 for file in storage.files("d"))


def test_a_replaced_key_is_new_to_new_readers_and_old_to_open_ones(storage, tmp_path):
    storage.replace("index/a", written(tmp_path / "ready", b"old"))
    with storage.local("index/a").open("rb") as reader:
        storage.replace("index/a", written(tmp_path / "ready", b"new"))
        assert reader.read() == b"old"

    assert storage.read("index/a") == b"new"
    assert storage.local("index/a").read_bytes() == b"new"


def test_replaced_bytes_are_those_of_the_last(storage):
    for data in (b"old", b"new"):
        storage.replace_bytes("a/b", data)

        assert storage.read("a/b") == data
        assert storage.local("a/b").read_bytes() == data


def test_only_the_version_that_was_seen_is_replaced(storage, tmp_path):
    def replace(data: bytes, version: str | None) -> bool:
        return storage.replace_version("a", written(tmp_path / "ready", data), version)

    assert replace(b"first", "none-such") is False
    assert replace(b"first", None) is True
    assert replace(b"other", None) is False
    seen = storage.version("a")
    assert replace(b"second", seen) is True
    assert replace(b"third", seen) is False
    assert storage.read("a") == b"second"


def test_a_lock_keeps_others_waiting(storage):
    order: list[str] = []

    def second() -> None:
        with storage.lock("index/a"):
            order.append("second")

    with storage.lock("index/a"):
        thread = threading.Thread(target=second)
        thread.start()
        thread.join(timeout=0.3)
        order.append("first")
    thread.join()

    assert order == ["first", "second"]


def test_a_range_is_read_and_what_is_missing_is_named(storage):
    storage.create("a", b"0123456789")

    assert storage.read_range("a", 2, 5) == b"234"
    with pytest.raises(DamagedError, match=f"{storage}/b: is missing"):
        storage.read_range("b", 0, 1)


def test_a_verified_read_gives_the_bytes_or_names_what_is_wrong(storage):
    data = b"0123456789"
    storage.create("a", data)

    assert storage.read_verified("a", sha256_hex(data)) == data
    assert storage.verify("a", sha256_hex(data)) == 10
    storage.replace_bytes("a", b"0123456788")
    for check in (storage.read_verified, storage.verify):
        with pytest.raises(DamagedError, match=f"{storage}/a: its content changed"):
            check("a", sha256_hex(data))
    storage.remove("a")
    for check in (storage.read_verified, storage.verify):
        with pytest.raises(DamagedError, match=f"{storage}/a: is missing"):
            check("a", sha256_hex(data))


def test_scratch_is_gone_afterwards_and_what_was_created_from_it_is_not(storage):
    with storage.scratch() as scratch:
        assert list(scratch.iterdir()) == []
        ready = written(scratch / "ready", b"data")
        assert storage.create_from("a", ready)

    assert not scratch.exists()
    assert storage.read("a") == b"data"


def test_a_workspace_is_there_once_something_was_created(storage, tmp_path):
    if isinstance(storage, LocalStorage):
        storage = LocalStorage(tmp_path / "nothing")
    with pytest.raises(SettingsError, match=f"{storage}: no workspace is there"):
        storage.check_is_there()

    storage.create("a", b"")

    storage.check_is_there()


def test_there_is_room_for_a_byte(storage):
    storage.check_room(1)


@pytest.mark.parametrize("key", ["", "..", "a/../b", "/etc/passwd", "a//b", ".hidden", "a\n", "é"])
def test_no_key_leads_out_of_the_root(storage, key):
    with pytest.raises(DamagedError, match="is no name in a workspace"):
        storage.create(key, b"")
