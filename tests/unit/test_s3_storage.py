"""What is particular to a workspace on S3: its cache, its uploads, others' objects, the probe."""

import base64
import hashlib
import logging
import os
import pickle
import threading
import time
from dataclasses import replace

import pytest

from tests.s3_server import KEY_ID, SECRET
from tokensieve.errors import ResourceError, SettingsError
from tokensieve.settings import S3Settings
from tokensieve.storage import open_storage, sha256_hex
from tokensieve.storage.cache import cache_home

BIG = os.urandom(1000) * 11_000
"""In three parts."""


@pytest.fixture(autouse=True)
def small_parts(monkeypatch):
    monkeypatch.setattr("tokensieve.storage.s3_bucket.PART_BYTES", 5 * 2**20)


@pytest.fixture
def storage(s3):
    return open_storage(s3.address(), s3.settings)


@pytest.fixture
def behind(s3, s3_proxy):
    """The same workspace, reached through the proxy, of which only requests are counted."""
    return open_storage(s3.address(), replace_endpoint(s3.settings, s3_proxy.endpoint))


def replace_endpoint(settings: S3Settings, endpoint: str) -> S3Settings:
    return settings.model_copy(update={"endpoint": endpoint})


def test_a_key_lies_below_the_prefix(s3, storage):
    storage.create("scores/a/PLAN.json", b"plan")

    assert s3.keys() == ["workspace/scores/a/PLAN.json"]
    assert storage.place("scores/a/PLAN.json") == f"s3://{s3.name}/workspace/scores/a/PLAN.json"


def test_a_small_object_is_one_request_with_its_hash(s3, s3_proxy, behind):
    behind.create("a", b"data")

    assert s3_proxy.requests == [f"PUT /{s3.name}/workspace/a"]
    sent = s3_proxy.headers[0]["x-amz-checksum-sha256"]
    assert base64.b64decode(sent) == hashlib.sha256(b"data").digest()


def test_a_large_object_is_written_and_read_in_parts(s3, s3_proxy, behind, tmp_path):
    (tmp_path / "ready").write_bytes(BIG)

    behind.create_from("big", tmp_path / "ready")

    methods = [request.split()[0] for request in s3_proxy.requests]
    assert methods == ["POST", "PUT", "PUT", "PUT", "POST"]
    assert s3.uploads() == []
    assert behind.verify("big", sha256_hex(BIG)) == len(BIG)
    methods = [request.split()[0] for request in s3_proxy.requests[5:]]
    assert methods == ["HEAD", "GET", "GET", "GET"]


def test_of_many_large_writers_of_one_key_exactly_one_wins(s3, storage, tmp_path):
    barrier = threading.Barrier(3)
    won: list[bytes] = []

    def write(number: int) -> None:
        data, path = bytes([number]) * 6_000_000, tmp_path / str(number)
        path.write_bytes(data)
        barrier.wait()
        if storage.create_from("x", path):
            won.append(data)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(won) == 1
    assert storage.read("x") == won[0]
    assert s3.uploads() == []


def test_a_copy_is_fetched_once_while_it_is_the_newest(s3_proxy, behind):
    behind.create("a", b"old")

    paths = {behind.local("a") for _ in range(3)}
    behind.replace_bytes("a", b"new")
    paths.add(behind.local("a"))

    assert len(paths) == 1
    assert paths.pop().read_bytes() == b"new"
    assert sum(request.startswith("GET") for request in s3_proxy.requests) == 2


def test_a_copy_is_fetched_once_by_many_at_once(s3_proxy, behind, tmp_path):
    (tmp_path / "ready").write_bytes(BIG)
    behind.create_from("big", tmp_path / "ready")
    read: list[bytes] = []

    threads = [
        threading.Thread(target=lambda: read.append(behind.local("big").read_bytes()))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert read == [BIG] * 4
    assert sum(request.startswith("GET") for request in s3_proxy.requests) == 3


def test_copies_of_one_folder_lie_in_one_directory_and_of_two_workspaces_do_not(s3, storage):
    other = open_storage(s3.address("other"), s3.settings)
    for each in (storage, other):
        for name in ("config.json", "sub/weights"):
            each.create(f"models/{name}", str(each).encode())

    config, weights = (storage.local(f"models/{name}") for name in ("config.json", "sub/weights"))

    assert config.parent == weights.parent.parent
    assert sorted(path.name for path in config.parent.iterdir()) == ["config.json", "sub"]
    assert other.local("models/config.json").read_text() == str(other)
    assert config.read_text() == str(storage)


@pytest.mark.parametrize("damage", ["removed", "cut", "of no known version"])
def test_a_copy_that_is_not_whole_is_fetched_again(storage, damage):
    storage.create("a/b", b"12345")
    path = storage.local("a/b")
    mark = next(cache_home().glob("*/versions/a/b"))
    {
        "removed": path.unlink,
        "cut": lambda: path.write_bytes(b"123"),
        "of no known version": lambda: (path.write_bytes(b"xxxxx"), mark.write_text("")),
    }[damage]()

    assert storage.local("a/b").read_bytes() == b"12345"


def test_what_was_removed_is_not_served_from_the_cache(storage):
    storage.create("a", b"1")
    storage.local("a")

    storage.remove("a")

    with pytest.raises(FileNotFoundError, match="workspace/a"):
        storage.local("a")


def test_copies_unused_for_longest_go_when_the_disk_is_full(storage, monkeypatch):
    paths = {}
    for name, idle_hours in {"oldest": 9, "older": 5, "young": 0.1}.items():
        storage.create(name, bytes(1000))
        paths[name] = storage.local(name)
        mark = next(cache_home().glob(f"*/versions/{name}"))
        os.utime(mark, times=(time.time() - 3600 * idle_hours,) * 2)
    storage.create("new", bytes(1500))
    disk = type("Disk", (), {"total": 10_000, "free": 1200})
    monkeypatch.setattr("shutil.disk_usage", lambda path: disk)

    storage.local("new")

    assert [name for name, path in paths.items() if path.exists()] == ["older", "young"]
    storage.create("huge", bytes(9000))
    with pytest.raises(ResourceError, match=r"9,000 bytes will be copied .* 2,200 are free"):
        storage.local("huge")
    assert [name for name, path in paths.items() if path.exists()] == ["young"]


def test_the_cache_is_for_its_owner_alone(storage, tmp_path):
    storage.create("a", b"1")
    storage.local("a")
    home = tmp_path / "cache/tokensieve"
    assert home.stat().st_mode & 0o777 == 0o700

    home.chmod(0o755)
    storage.local("a")

    assert home.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("mode", [0o777, 0o770, 0o702])
def test_a_cache_that_others_may_have_filled_is_refused(storage, tmp_path, mode):
    storage.create("a", b"1")
    home = tmp_path / "cache/tokensieve"
    home.mkdir(parents=True)
    home.chmod(mode)

    with pytest.raises(ResourceError, match=r"others can write there.*Remove it, or set XDG"):
        storage.local("a")

    assert home.stat().st_mode & 0o777 == mode


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a directory away")
def test_a_cache_of_somebody_else_is_refused(storage, tmp_path):
    storage.create("a", b"1")
    home = tmp_path / "cache/tokensieve"
    home.mkdir(mode=0o700, parents=True)
    os.chown(home, 12345, -1)

    with pytest.raises(ResourceError, match=r"belongs to user 12345.*set XDG_CACHE_HOME"):
        storage.local("a")


def test_marks_of_directories_and_names_that_are_none_of_ours_are_passed_over(s3, storage):
    storage.create("runs/a/RUN.json", b"{}")
    foreign = ("", ".DS_Store", "a~", "b c", "a/", "a/.tmp")
    for name in foreign:
        s3.put(f"workspace/runs/{name}", b"")

    assert storage.names("runs") == ["a"]
    assert storage.names("runs/a") == ["RUN.json"]
    assert [file.key for file in storage.files("runs")] == ["runs/a/RUN.json"]


def test_names_go_on_beyond_the_first_page(s3, storage, monkeypatch):
    for number in range(5):
        s3.put(f"workspace/runs/{number}", b"")
    pages = storage.bucket.objects("workspace/runs/", MaxKeys=2)

    assert [len(page["Contents"]) for page in pages] == [2, 2, 1]


def test_an_upload_that_was_never_completed_is_found_and_discarded(s3, storage):
    s3.client.create_multipart_upload(Bucket=s3.name, Key="workspace/models/a/weights")
    s3.client.create_multipart_upload(Bucket=s3.name, Key="elsewhere/weights")

    left = list(storage.leftovers())

    assert [each.key for each in left] == ["models/a/weights"]
    assert left[0].age > 0
    storage.discard(left[0])
    storage.discard(left[0])
    assert s3.uploads() == ["elsewhere/weights"]


def test_a_probe_leaves_nothing_and_is_made_once(s3, s3_proxy, behind):
    behind.probe()
    requests = len(s3_proxy.requests)

    behind.probe()

    assert requests > 5
    assert len(s3_proxy.requests) == requests
    assert (s3.keys(), s3.uploads()) == ([], [])


@pytest.mark.parametrize("pattern", ["^PUT", "^POST"])
def test_a_store_that_cannot_arbitrate_is_refused(s3, s3_proxy, behind, pattern):
    fault = s3_proxy.inject("unconditional", pattern, times=None)

    with pytest.raises(SettingsError, match="cannot arbitrate two writers"):
        behind.probe()

    assert fault.injected > 0
    assert s3.keys() == []


def test_a_store_that_lets_two_in_who_come_at_once_is_refused(s3, s3_proxy, behind):
    fault = s3_proxy.inject("unconditional", "^PUT", times=2)

    with pytest.raises(SettingsError, match="cannot arbitrate two writers"):
        behind.probe()

    assert fault.injected == 2


def test_a_missing_bucket_is_named(s3):
    storage = open_storage("s3://no-such-bucket/workspace", s3.settings)

    for check in (storage.probe, storage.check_is_there, lambda: storage.create("a", b"")):
        with pytest.raises(SettingsError, match=r"//no-such-bucket/workspace.*no such bucket"):
            check()


def test_without_credentials_it_is_said_where_to_put_them(s3, monkeypatch):
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    storage = open_storage(s3.address("nobody"), replace_endpoint(s3.settings, s3.endpoint + "/"))

    with pytest.raises(SettingsError, match=r"no complete credentials .* Set AWS_ACCESS"):
        storage.read("a")


def test_a_profile_that_does_not_exist_is_named(s3):
    settings = s3.settings.model_copy(update={"profile": "nobody"})

    with pytest.raises(SettingsError, match=r"profile \(nobody\) could not be found.*below s3"):
        open_storage(s3.address(), settings).read("a")


def test_no_secret_is_in_what_is_passed_on_or_shown(storage):
    storage.create("a", b"")  # the session has them

    shown = [pickle.dumps(storage).decode("latin-1"), repr(storage), str(storage)]

    assert not [text for text in shown if SECRET in text or KEY_ID in text]


def test_requests_are_never_logged_with_their_signatures(s3, caplog):
    caplog.set_level(logging.DEBUG)
    settings = s3.settings.model_copy(update={"region": "eu-west-1"})  # a session of its own
    storage = open_storage(s3.address(), settings)

    storage.create("a", b"1")
    storage.local("a")

    wire = {"aiobotocore", "botocore", "fsspec", "s3fs", "urllib3"}
    logged = [record for record in caplog.records if record.name.split(".")[0] in wire]
    assert not [record for record in logged if record.levelno < logging.INFO]
    assert SECRET not in caplog.text
    assert KEY_ID not in caplog.text


def test_patience_is_no_part_of_where_copies_lie(storage):
    storage.create("a", b"1")
    hasty = replace(storage.bucket.connection, patience=1.0)

    other = replace(storage, bucket=replace(storage.bucket, connection=hasty))

    assert other.local("a") == storage.local("a")
