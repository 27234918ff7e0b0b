"""Whole runs on a store that has a bad day: what it ends with is what an undisturbed run makes.

docs/faults.md says which fault is where.
"""

import hashlib
import re
from pathlib import Path

import pytest
from prefect.settings import PREFECT_API_DATABASE_CONNECTION_URL

from flows.clean import clean
from tests.drops import write_drop
from tests.s3_server import KEY_ID, SECRET
from tests.workspaces import is_published, published
from tokensieve.errors import ServiceError
from tokensieve.settings import CleanSettings, S3Settings

pytestmark = [
    pytest.mark.usefixtures("s3_server", "prefect_server", "ray_cluster"),
    pytest.mark.timeout(600),
]
WRITES = ("corpora/.*/shards", "scores/.*/receipts", "COMMIT.json", "RUN.json", "tokensieve.duckdb")


@pytest.fixture(scope="module")
def drop(tmp_path_factory):
    return write_drop(tmp_path_factory.mktemp("drop") / "drop.jsonl", num_rows=300, bad_rows=2)


def settings(models, drop: Path, workspace: str, s3: S3Settings) -> CleanSettings:
    return CleanSettings(
        files=(str(drop),),
        base=models.base,
        reference=models.reference,
        workspace=workspace,
        s3=s3,
        corpus={"template": "tulu"},
    )


@pytest.fixture(scope="module")
def on_disk(models, drop, tmp_path_factory, s3_server, prefect_server, ray_cluster):
    """What stands in a directory after a run that nothing disturbs."""
    workspace = tmp_path_factory.mktemp("undisturbed") / "w"
    clean(settings(models, drop, str(workspace), S3Settings()))
    return published(workspace)


@pytest.fixture
def through_proxy(models, drop, s3, s3_proxy):
    """A cleaning of the same drop into a bucket, on the way to which things may go wrong."""
    reached = s3.settings.model_copy(update={"endpoint": s3_proxy.endpoint})
    return settings(models, drop, s3.address(), reached)


def in_bucket(s3) -> dict[str, str]:
    """Return the hash of every object that a run publishes, by name, as `published` does."""
    names = [key.removeprefix("workspace/") for key in s3.keys("workspace/")]
    kept = [name for name in names if is_published(Path(name))]
    return {name: hashlib.sha256(s3.get(f"workspace/{name}")).hexdigest() for name in kept}


def test_a_run_whose_every_kind_of_request_fails_once_makes_what_a_run_on_disk_makes(
    s3, s3_proxy, through_proxy, on_disk
):
    faults = [s3_proxy.inject("dropack", f"^PUT.*{place}") for place in WRITES]
    faults += [s3_proxy.inject("503", f"^PUT.*{place}", times=3) for place in WRITES]
    faults += [s3_proxy.inject("reset", f"^{method}") for method in ("PUT", "GET", "HEAD")]
    faults += [s3_proxy.inject("cut", "^GET.*shards")]

    clean(through_proxy)

    assert [fault.injected for fault in faults] == [fault.times for fault in faults]
    assert in_bucket(s3) == on_disk


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "told"), [("503", "slow down"), ("hang", "has not answered")])
def test_a_store_that_fails_for_good_ends_the_run_and_the_next_one_goes_on(
    s3, s3_proxy, through_proxy, on_disk, kind, told
):
    fault = s3_proxy.inject(kind, "^PUT.*scores/.*/receipts", times=None)

    with pytest.raises(ServiceError, match=rf"{told}.*run the same command again"):
        clean(through_proxy)

    assert fault.injected > 1
    assert not [name for name in in_bucket(s3) if "scores" in name and "receipts" in name]
    s3_proxy.faults.clear()
    s3_proxy.requests.clear()
    clean(through_proxy)
    assert in_bucket(s3) == on_disk
    assert not [each for each in s3_proxy.requests if re.search("^PUT.*corpora/.*/shards", each)]


@pytest.mark.slow
def test_credentials_that_expire_half_way_end_the_run_and_are_written_nowhere(
    s3, s3_proxy, through_proxy, on_disk, capfd, caplog
):
    fault = s3_proxy.inject("expired", "", times=None, after=60)

    with pytest.raises(ServiceError, match=r"credentials expired.*run the same command again"):
        clean(through_proxy)

    assert fault.injected > 0
    s3_proxy.faults.clear()
    clean(through_proxy)
    assert in_bucket(s3) == on_disk
    said = capfd.readouterr()
    written = [said.out, said.err, caplog.text, *prefect_files()]
    assert any("credentials expired" in text for text in written)
    assert not [text for text in written if SECRET in text or KEY_ID in text]


def prefect_files() -> list[str]:
    """The text of the files in which the server keeps states, parameters and logs."""
    database = PREFECT_API_DATABASE_CONNECTION_URL.value()
    directory = Path(database.partition(":///")[2]).parent
    return [path.read_bytes().decode("latin-1") for path in directory.iterdir() if path.is_file()]


@pytest.mark.slow
def test_objects_of_others_below_the_prefix_are_in_no_result(s3, s3_proxy, through_proxy, on_disk):
    def disturb() -> None:
        for place in ("corpora", "scores", "selections", "runs"):
            for name in ("", "stray.parquet", ".DS_Store", "abc/shards/00000-0.parquet"):
                s3.put(f"workspace/{place}/{name}", b"foreign")

    fault = s3_proxy.inject("reset", "^PUT.*corpora")
    fault.then = disturb

    clean(through_proxy)

    assert fault.injected == 1
    made = {name: each for name, each in in_bucket(s3).items() if name in on_disk}
    assert made == on_disk
