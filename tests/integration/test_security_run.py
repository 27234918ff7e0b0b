"""One real run among everything that wants to break out: what it imports, writes and gives away."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.canaries import IDS, SQL, Canaries, plant_modules, write_hostile_drop
from tests.reading import rows
from tokensieve.storage import LocalStorage

TOKENSIEVE = Path(sys.executable).with_name("tokensieve")


@pytest.fixture(scope="module")
def place():
    """Yield a directory with a short name: Ray's sockets lie in it."""
    place = Path(tempfile.mkdtemp(prefix="ts-", dir="/tmp"))
    yield place
    shutil.rmtree(place)


@pytest.fixture(scope="module")
def run(place, models):
    """Clean a hostile drop with secrets in the environment, from a directory of hostile modules."""
    canaries = Canaries()
    for folder in ("here", "home", "ray", "tmp"):
        (place / folder).mkdir()
    plant_modules(place / "here", place / "imported")
    drop = write_hostile_drop(place / f"{SQL}.jsonl")
    given = ["--base", models.base, "--reference", models.reference, "--template", "tulu"]
    before = sorted(place.iterdir())
    done = subprocess.run(
        [TOKENSIEVE, "clean", drop, *given, "--workspace", "../workspace"],
        cwd=place / "here",
        env={
            **{name: os.environ[name] for name in ("PATH", "PREFECT_SERVER_ANALYTICS_ENABLED")},
            **canaries.environment,
            "HOME": str(place / "home"),
            "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "180",
            "RAY_TMPDIR": str(place / "ray"),
            "TMPDIR": str(place / "tmp"),
        },
        capture_output=True,
        text=True,
        timeout=240,
    )
    (place / "said").write_text(done.stdout + done.stderr)
    return SimpleNamespace(
        code=done.returncode,
        said=done.stdout + done.stderr,
        canaries=canaries,
        storage=LocalStorage(place / "workspace"),
        new=sorted(set(place.iterdir()) - set(before)),
    )


def test_nothing_is_imported_from_the_directory_that_a_command_is_started_in(run, place):
    imported = place / "imported"

    assert not imported.exists(), imported.read_text()
    assert run.code == 0, run.said


def test_no_secret_is_in_a_file_or_in_what_was_said(run, place):
    assert list((place / "home/.prefect").glob("prefect.db"))
    assert list((place / "ray").rglob("gcs_server.out"))
    assert run.canaries.found_in([place]) == []


def test_what_rows_and_files_are_called_is_data_and_nothing_else(run):
    found = dict(rows(run.storage, "SELECT sample_id, source FROM samples"))

    assert found == {id: id[:200] for id in IDS}
    assert rows(run.storage, "SELECT count(*) FROM rounds") == [(1,)]
    [[inputs]] = rows(run.storage, "SELECT inputs FROM runs")
    assert [each["name"] for each in json.loads(inputs)] == [f"{SQL}.jsonl"]


def test_no_file_is_written_but_below_the_roots(run, place):
    names = {path.name for path in run.new}

    assert names == {"said", "workspace"}
    assert not Path("/tmp/escaped").exists()
    assert {path.suffix for path in (place / "here").iterdir()} == {".py"}


def test_what_prefect_remembers_of_the_run_is_closed_to_others(run, place):
    [database] = (place / "home/.prefect").glob("prefect.db")

    assert database.stat().st_mode & 0o777 == 0o600
