import errno
import hashlib
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests.scripts import REPOSITORY, run_script
from tokensieve.errors import DamagedError, ResourceError, SettingsError
from tokensieve.storage import LocalStorage, sha256_hex


@pytest.fixture
def storage(tmp_path):
    storage = LocalStorage(tmp_path / "workspace")
    storage.probe()
    return storage


def names(storage: LocalStorage) -> list[str]:
    """Every file below the root, temporary ones too."""
    return sorted(str(p.relative_to(storage.root)) for p in storage.root.rglob("*") if p.is_file())


def test_a_created_key_is_read_back_and_leaves_no_other_file(storage):
    assert storage.create("scores/a/PLAN.json", b"plan") is True

    assert storage.read("scores/a/PLAN.json") == b"plan"
    assert storage.exists("scores/a/PLAN.json")
    assert names(storage) == ["scores/a/PLAN.json"]


def test_a_key_that_exists_is_never_overwritten(storage):
    storage.create("a", b"first")

    assert storage.create("a", b"second") is False
    assert storage.read("a") == b"first"
    assert names(storage) == ["a"]


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
    assert names(storage) == ["x/y/z"]


def test_the_bytes_are_on_disk_before_the_name_and_the_name_before_the_answer(storage, monkeypatch):
    storage.create("scores/before", b"")
    calls: list[str] = []
    fsync, link = os.fsync, os.link

    def seen_fsync(descriptor: int) -> None:
        path = Path(f"/proc/self/fd/{descriptor}").readlink()
        calls.append("fsync directory" if path.is_dir() else f"fsync {path.stat().st_size} bytes")
        fsync(descriptor)

    def seen_link(source: Path, target: Path) -> None:
        calls.append("link")
        link(source, target)

    monkeypatch.setattr(os, "fsync", seen_fsync)
    monkeypatch.setattr(os, "link", seen_link)

    storage.create("scores/a", b"1234")
    storage.create("scores/a", b"1234")  # the other writer's link may not be durable yet

    assert calls == ["fsync 4 bytes", "link", "fsync directory"] * 2


def test_new_directories_are_made_durable_in_their_parents(storage, monkeypatch):
    synced: list[str] = []
    fsync = os.fsync

    def seen(descriptor: int) -> None:
        synced.append(str(Path(f"/proc/self/fd/{descriptor}").readlink()))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", seen)
    storage.create("a/b/c", b"")

    root = str(storage.root)
    assert synced[:2] == [root, f"{root}/a"]
    assert synced[-1] == f"{root}/a/b"


@pytest.mark.parametrize("call", ["fsync", "link"])
def test_an_error_of_the_disk_is_named_and_leaves_no_temporary_file(storage, monkeypatch, call):
    def fail(*arguments: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, call, fail)

    with pytest.raises(ResourceError, match=rf"{storage.root}/a: 4 bytes .*Input/output error"):
        storage.create("a", b"1234")

    assert names(storage) == []


def test_a_full_disk_is_named_with_what_to_do_and_nothing_half_written_stays(storage):
    script = (
        "import resource, signal, sys; from pathlib import Path\n"
        "from tokensieve.storage import LocalStorage; from tokensieve.errors import ResourceError\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))\n"
        "try: LocalStorage(Path(sys.argv[1])).create('scores/big', bytes(10_000))\n"
        "except ResourceError as error: print(error); sys.exit(error.exit_code)"
    )

    failed = run_script(script, storage.root)

    assert failed.returncode == 6, failed.stderr
    assert failed.stdout == (
        f"{storage.root}/scores/big: 10000 bytes could not be written: File too large. Free some "
        "space, then run the same command again; finished shards are kept.\n"
    )
    assert names(storage) == []


def test_a_writer_that_is_killed_before_the_link_leaves_no_name(storage):
    script = (
        "import os, signal, sys; from pathlib import Path\n"
        "from tokensieve.storage import LocalStorage\n"
        "os.link = lambda *arguments: os.kill(os.getpid(), signal.SIGKILL)\n"
        "LocalStorage(Path(sys.argv[1])).create('a', b'1234')"
    )

    killed = subprocess.run(
        [sys.executable, "-c", script, str(storage.root)], cwd=REPOSITORY, check=False
    )

    assert killed.returncode == -signal.SIGKILL
    assert storage.read("a") is None
    assert storage.create("a", b"1234") is True


def test_scratch_is_on_the_disk_of_the_root_and_gone_afterwards(storage):
    with storage.scratch() as scratch:
        assert scratch.is_relative_to(storage.root)
        assert list(scratch.iterdir()) == []
        (scratch / "model").mkdir()

    assert list(storage.root.iterdir()) == []


def test_scratch_of_a_killed_process_is_removed_and_that_of_a_living_one_is_not(storage):
    script = (
        "import os, signal, sys; from pathlib import Path\n"
        "from tokensieve.storage import LocalStorage\n"
        "with LocalStorage(Path(sys.argv[1])).scratch() as scratch:\n"
        "    (scratch / 'model').mkdir(); (scratch / 'model' / 'weights').write_bytes(bytes(99))\n"
        "    os.kill(os.getpid(), signal.SIGKILL)"
    )
    foreign = storage.root / ".tmp-mine"
    foreign.mkdir()

    with storage.scratch() as living:
        assert run_script(script, storage.root).returncode == -signal.SIGKILL
        there = set(storage.root.iterdir())
        assert len(there) == 3
        with storage.scratch() as another:
            assert set(storage.root.iterdir()) == {living.parent, foreign, another.parent}


def test_a_verified_read_gives_the_bytes_or_names_what_is_wrong(storage):
    data = b"0123456789"
    storage.create("a", data)
    assert storage.read_verified("a", sha256_hex(data)) == data
    path = storage.path("a")

    for changed in (b"0123456788", b"012345678", b"", data * 2):
        path.write_bytes(changed)
        with pytest.raises(DamagedError, match=f"{path}: its content changed"):
            storage.read_verified("a", sha256_hex(data))
    path.unlink()
    with pytest.raises(DamagedError, match=f"{path}: is missing"):
        storage.read_verified("a", sha256_hex(data))


def test_every_flipped_bit_is_found(storage):
    data = os.urandom(50)
    storage.create("a", data)
    for bit in range(8 * len(data)):
        changed = bytearray(data)
        changed[bit // 8] ^= 1 << bit % 8
        storage.path("a").write_bytes(changed)
        with pytest.raises(DamagedError):
            storage.read_verified("a", sha256_hex(data))


def test_a_key_that_cannot_be_read_is_an_error_and_not_an_absence(storage):
    storage.create("a/b", b"")

    with pytest.raises(ResourceError, match="Is a directory"):
        storage.read("a")
    with pytest.raises(ResourceError, match="Not a directory"):
        storage.read("a/b/c")
    assert storage.read("a/c") is None


@pytest.mark.parametrize("key", ["", "..", "a/../b", "/etc/passwd", "a//b", ".hidden", "a\n", "é"])
def test_no_key_leads_out_of_the_root(storage, key):
    with pytest.raises(DamagedError, match="is no name in a workspace"):
        storage.create(key, b"")


def test_names_are_sorted_and_without_temporary_and_foreign_files(storage):
    for key in ("d/b", "d/a", "d/c/x"):
        storage.create(key, b"")
    for stray in (".tmp-1-abc", ".DS_Store", "a~", "#a#"):
        storage.path("d").joinpath(stray).touch()

    assert storage.names("d") == ["a", "b", "c"]
    assert storage.names("nothing") == []


def test_a_replaced_file_is_new_to_new_readers_and_old_to_open_ones(storage, tmp_path):
    for content in (b"old", b"new"):
        ready = tmp_path / "ready"
        ready.write_bytes(content)
        if content == b"new":
            reader = storage.path("index/a").open("rb")
        storage.replace("index/a", ready)
        assert not ready.exists()

    with reader:
        assert reader.read() == b"old"
    assert storage.read("index/a") == b"new"


def test_replaced_bytes_are_new_to_new_readers_and_leave_no_other_file(storage):
    storage.replace_bytes("runs/a/loss.png", b"old")
    with storage.path("runs/a/loss.png").open("rb") as reader:
        storage.replace_bytes("runs/a/loss.png", b"new")
        assert reader.read() == b"old"

    assert storage.read("runs/a/loss.png") == b"new"
    assert names(storage) == ["runs/a/loss.png"]


def test_bytes_that_cannot_be_written_leave_what_stood_there(storage, monkeypatch):
    def fail(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    storage.replace_bytes("a", b"old")
    monkeypatch.setattr(os, "fsync", fail)

    with pytest.raises(ResourceError, match=rf"{storage.root}/a: 3 bytes .*No space left"):
        storage.replace_bytes("a", b"new")

    assert storage.read("a") == b"old"
    assert names(storage) == ["a"]


def test_a_workspace_is_probed_before_it_is_used(tmp_path):
    LocalStorage(tmp_path / "new" / "workspace").probe()

    assert list((tmp_path / "new" / "workspace").iterdir()) == []


@pytest.mark.parametrize("name", ["a*", "a?", "[1]"])
def test_a_workspace_whose_name_duckdb_would_take_for_a_pattern_is_refused(tmp_path, name):
    with pytest.raises(SettingsError, match=r"may not contain any of \* \? \[ \]"):
        LocalStorage(tmp_path / name).probe()


def test_a_workspace_that_is_a_file_or_cannot_be_made_is_refused(tmp_path):
    (tmp_path / "file").write_bytes(b"")

    for root in (tmp_path / "file", tmp_path / "file" / "below", Path("/proc/nowhere")):
        with pytest.raises(SettingsError, match="cannot be used as a workspace"):
            LocalStorage(root).probe()


def test_a_disk_without_hard_links_is_refused(tmp_path, monkeypatch):
    def fail(*arguments: object) -> None:
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "link", fail)

    with pytest.raises(SettingsError, match="allows hard links"):
        LocalStorage(tmp_path).probe()

    assert list(tmp_path.iterdir()) == []


def test_the_hash_is_sha256():
    assert sha256_hex(b"abc") == hashlib.sha256(b"abc").hexdigest()
    assert sha256_hex(b"abc").startswith("ba7816bf8f01cfea")
