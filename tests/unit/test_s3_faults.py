"""A workspace on S3 on bad days: what passes is waited for, what does not is told."""

import os
import shlex
import signal
import subprocess
import sys
import time
import traceback
from dataclasses import replace

import pytest

from ray_cluster.nodes import check_reach
from tests.s3_server import KEY_ID, SECRET
from tests.scripts import REPOSITORY
from tokensieve.errors import DamagedError, ResourceError, ServiceError, SettingsError
from tokensieve.storage import open_storage, sha256_hex
from tokensieve.storage.s3 import S3Storage

BIG = bytes(range(256)) * 43_000
"""In three parts."""
BEGIN, PART, COMPLETE = r"^POST .*\?uploads", "^PUT.*partNumber=2", "^POST.*uploadId"
PASSING = ("503", "500", "409", "200err", "reset", "dropack")


@pytest.fixture(autouse=True)
def small_parts(monkeypatch):
    monkeypatch.setattr("tokensieve.storage.s3_bucket.PART_BYTES", 5 * 2**20)


def reached_at(s3, endpoint: str, patience: float) -> S3Storage:
    settings = s3.settings.model_copy(update={"endpoint": endpoint})
    storage = open_storage(s3.address(), settings)
    connection = replace(storage.bucket.connection, patience=patience)
    return replace(storage, bucket=replace(storage.bucket, connection=connection))


@pytest.fixture
def storage(s3, s3_proxy):
    return reached_at(s3, s3_proxy.endpoint, patience=20.0)


@pytest.fixture
def hasty(s3, s3_proxy):
    return reached_at(s3, s3_proxy.endpoint, patience=3.0)


@pytest.fixture
def ready(tmp_path):
    path = tmp_path / "ready"
    path.write_bytes(BIG)
    return path


@pytest.mark.parametrize("kind", PASSING)
def test_a_small_write_lands_once_whatever_happened_on_its_way(s3, s3_proxy, storage, kind):
    fault = s3_proxy.inject(kind, "^PUT", times=3)

    created = storage.create("a", b"data")

    assert created is (kind != "dropack")  # then nobody can say whose it is
    assert s3.get("workspace/a") == b"data"
    assert (fault.injected, len(s3_proxy.requests)) == (3, 4)


@pytest.mark.parametrize(
    ("kind", "pattern"),
    [
        ("503", BEGIN),
        ("dropack", BEGIN),
        ("reset", PART),
        ("dropack", PART),
        ("503", COMPLETE),
        ("200err", COMPLETE),
        ("dropack", COMPLETE),
    ],
)
def test_a_large_write_lands_once_whatever_happened_on_its_way(
    s3, s3_proxy, storage, ready, kind, pattern
):
    fault = s3_proxy.inject(kind, pattern, times=2)

    storage.create_from("big", ready)

    assert fault.injected == 2
    assert storage.verify("big", sha256_hex(BIG)) == len(BIG)
    nobodys = 2 if (kind, pattern) == ("dropack", BEGIN) else 0
    assert s3.uploads() == ["workspace/big"] * nobodys


@pytest.mark.parametrize("kind", ["503", "500", "reset", "dropack", "cut"])
def test_what_is_read_is_whole_whatever_happened_on_its_way(s3, s3_proxy, storage, ready, kind):
    storage.create("small", b"data" * 1000)
    storage.create_from("big", ready)
    fault = s3_proxy.inject(kind, "^GET", times=4)

    assert storage.read("small") == b"data" * 1000
    assert storage.verify("big", sha256_hex(BIG)) == len(BIG)
    assert storage.local("big").read_bytes() == BIG
    assert fault.injected == 4


def test_a_foreign_object_written_before_an_answer_was_lost_is_not_taken_for_ours(
    s3, s3_proxy, storage
):
    s3.put("workspace/a", b"theirs")
    fault = s3_proxy.inject("dropack", "^PUT")

    assert storage.create("a", b"ours") is False
    assert fault.injected == 1
    assert storage.read("a") == b"theirs"


def test_an_object_that_is_replaced_while_it_is_fetched_is_fetched_anew(
    s3, s3_proxy, storage, ready
):
    storage.create_from("big", ready)
    version = storage.bucket.found("workspace/big")
    newer = bytes(len(BIG))
    s3.put("workspace/big", newer)

    with pytest.raises(DamagedError, match=r"was replaced while it was read"):
        list(storage.bucket.blocks("workspace/big", version))
    assert storage.local("big").read_bytes() == newer


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        ("503", "the store asked to slow down for"),
        ("500", "the store has failed for"),
        ("reset", "the store has not answered s3:PutObject for"),
        ("hang", "the store has not answered s3:PutObject for"),
    ],
)
def test_what_does_not_pass_ends_in_time_and_is_told(s3, s3_proxy, hasty, kind, told):
    assert not hasty.exists("a")  # making the session takes its time
    fault = s3_proxy.inject(kind, "^PUT", times=None)
    began = time.monotonic()

    with pytest.raises(ServiceError, match=rf"workspace/a: {told}.*run the same command again"):
        hasty.create("a", b"data")

    assert time.monotonic() - began < 20
    assert fault.injected > (0 if kind == "hang" else 1)
    assert s3.keys() == []


def test_a_large_write_that_ends_leaves_nothing_behind(s3, s3_proxy, hasty, ready):
    fault = s3_proxy.inject("503", "^PUT.*partNumber=3", times=None)

    with pytest.raises(ServiceError, match="slow down"):
        hasty.create_from("big", ready)

    assert fault.injected > 1
    assert (s3.keys(), s3.uploads()) == ([], [])


def test_an_upload_that_others_remove_is_begun_anew(s3, s3_proxy, storage, ready):
    fault = s3_proxy.inject("gone", COMPLETE, times=2)

    assert storage.create_from("big", ready) is True
    assert fault.injected == 2
    assert s3.get("workspace/big") == BIG
    assert s3.uploads() == []


def test_an_upload_that_is_removed_each_time_ends_the_run(s3, s3_proxy, storage, ready):
    fault = s3_proxy.inject("gone", COMPLETE, times=None)

    with pytest.raises(ServiceError, match="was removed 3 times before it was complete"):
        storage.create_from("big", ready)

    assert fault.injected == 3
    assert (s3.keys(), s3.uploads()) == ([], [])


def test_expired_credentials_are_renewed_once(s3, s3_proxy, storage):
    fault = s3_proxy.inject("expired", "^PUT")

    assert storage.create("a", b"data") is True
    assert fault.injected == 1


def test_credentials_that_stay_expired_end_the_run(s3_proxy, storage):
    fault = s3_proxy.inject("expired", "^PUT", times=None, after=1)
    storage.create("a", b"1")

    with pytest.raises(ServiceError, match=r"credentials expired.*run the same command again") as e:
        storage.create("b", b"2")

    assert fault.injected == 2
    assert e.value.exit_code == 8
    assert SECRET not in str(e.value)
    assert KEY_ID not in str(e.value)


HELPER = """
import json, sys
from pathlib import Path
calls = Path(sys.argv[1])
calls.write_text(calls.read_text() + "x")
if len(calls.read_text()) > 1:
    print(sys.argv[3])
    sys.exit(sys.argv[3] if sys.argv[4] else 0)
keys = {"AccessKeyId": "id", "SecretAccessKey": "key"}
print(json.dumps({"Version": 1, **keys, **json.loads(sys.argv[2])}))
"""
"""Gives credentials once. Then it says something else and ends as its last argument has it."""
SOON_OVER = '{"SessionToken": "token", "Expiration": "2020-01-01T00:00:00Z"}'


@pytest.mark.parametrize("ending", ["failed", ""], ids=["fails", "says something else"])
@pytest.mark.parametrize("lifetime", ["{}", SOON_OVER], ids=["refused", "soon over"])
def test_a_helper_that_renews_no_credentials_ends_the_run_and_is_not_quoted(
    s3, s3_proxy, tmp_path, monkeypatch, caplog, lifetime, ending
):
    helper, calls, config = (tmp_path / name for name in ("helper.py", "calls", "config"))
    helper.write_text(HELPER)
    calls.write_text("")
    words = [sys.executable, helper, calls, lifetime, "hush-hush", ending]
    config.write_text(f"[profile helped]\ncredential_process = {shlex.join(map(str, words))}\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    s3_proxy.inject("expired", "^PUT")
    settings = {"endpoint": s3_proxy.endpoint, "profile": "helped"}
    storage = open_storage(s3.address(), s3.settings.model_copy(update=settings))

    with pytest.raises(ServiceError, match=r"could not be fetched .*run the same command") as error:
        storage.create("a", b"data")

    assert calls.read_text() == "xx"
    assert error.value.exit_code == 8
    shown = "".join(traceback.format_exception(error.value)) + caplog.text
    assert "hush-hush" not in shown


def test_what_is_not_allowed_is_named(s3_proxy, storage):
    s3_proxy.inject("denied", "", times=None)

    for refused, action in (
        (lambda: storage.create("a", b""), "s3:PutObject"),
        (lambda: storage.read("a"), "s3:GetObject"),
        (lambda: storage.remove("a"), "s3:DeleteObject"),
        (lambda: storage.names("a"), "s3:ListBucket"),
    ):
        with pytest.raises(SettingsError, match=rf"workspace/a.*do not allow {action}"):
            refused()


def test_what_a_check_may_not_write_is_told_not_that_it_may_not_remove_it(s3_proxy, storage):
    fault = s3_proxy.inject("denied", "^(PUT|DELETE)", times=None)

    with pytest.raises(SettingsError, match="do not allow s3:PutObject"):
        storage.probe()

    assert fault.injected > 8


def test_what_a_check_may_not_remove_is_told(s3_proxy, storage):
    s3_proxy.inject("denied", "^DELETE", times=None)

    with pytest.raises(SettingsError, match="do not allow s3:DeleteObject"):
        storage.probe()


def test_a_check_of_nodes_tells_what_it_may_not_write(s3_proxy, storage):
    storage.probe()
    s3_proxy.inject("denied", "^(PUT|DELETE)", times=None)

    with pytest.raises(SettingsError, match="do not allow s3:PutObject"):
        check_reach([], storage, [])


def test_a_wrong_clock_is_told_by_how_much(s3_proxy, storage):
    s3_proxy.inject("skewed", "", times=None)

    for refused in (lambda: storage.create("a", b""), lambda: storage.exists("a")):
        with pytest.raises(ResourceError, match=r"clock of this machine is 3\d\d\d s behind"):
            refused()


def test_a_file_has_the_time_that_its_bytes_take_on_a_slow_line(
    s3, s3_proxy, hasty, ready, monkeypatch
):
    assert not hasty.exists("big")  # making the session takes its time
    monkeypatch.setattr("tokensieve.storage.s3_connection._WHOLE_SECONDS", 0.0)
    fault = s3_proxy.inject("unconditional", "^PUT")
    fault.then = lambda: time.sleep(2)

    hasty.replace_version("big", ready, None)  # 11 MB

    assert (fault.injected, len(s3_proxy.requests)) == (1, 2)
    assert s3.get("workspace/big") == BIG


def test_a_store_that_is_not_there_is_told_soon(s3):
    storage = open_storage(
        s3.address(), s3.settings.model_copy(update={"endpoint": "http://127.0.0.1:9"})
    )
    began = time.monotonic()

    with pytest.raises(ServiceError, match=r"has not answered .* Check s3.endpoint"):
        storage.probe()

    assert time.monotonic() - began < 25


def test_a_writer_that_is_killed_between_parts_leaves_nothing_but_an_upload(
    s3, s3_proxy, storage, ready
):
    os.truncate(ready, 40_000_000)  # three parts of the usual size
    fault = s3_proxy.inject("hang", "^PUT.*partNumber=3", times=None)
    script = (
        "import sys; from pathlib import Path; from tokensieve.storage import open_storage\n"
        "from tokensieve.settings import S3Settings\n"
        "settings = S3Settings(endpoint=sys.argv[1], region='us-east-1')\n"
        "open_storage(sys.argv[2], settings).create_from('big', Path(sys.argv[3]))"
    )
    writer = subprocess.Popen(
        [sys.executable, "-c", script, s3_proxy.endpoint, s3.address(), str(ready)], cwd=REPOSITORY
    )
    deadline = time.monotonic() + 60
    while not fault.injected and writer.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    writer.send_signal(signal.SIGKILL)
    writer.wait()
    s3_proxy.faults.clear()

    assert fault.injected == 1
    assert not storage.exists("big")
    left = list(storage.leftovers())
    assert [each.key for each in left] == ["big"]
    storage.discard(left[0])
    assert storage.create_from("big", ready) is True
    assert s3.uploads() == []
