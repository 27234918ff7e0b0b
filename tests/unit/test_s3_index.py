"""The index of a workspace in a store: built here, published there, fetched where it is asked."""

import dataclasses
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import ClassVar

import duckdb
import numpy as np
import pyarrow as pa
import pytest

from sql import connect_published, explain_token, read_token_maps
from sql.index import rebuild_index, update_index
from sql.published import INDEX_KEY
from sql.query import query
from sql.stored_files import stored_files
from tests.reading import rows
from tests.s3_server import KEY_ID, SECRET, Bucket, new_bucket
from tests.scripts import REPOSITORY
from tests.tiny_workspace import Sample, finish_run, make_corpus, make_scores, make_selection
from tokensieve.artifact import Artifact, parquet_bytes
from tokensieve.errors import ConflictError, DamagedError, InputError, SettingsError
from tokensieve.storage import LocalStorage, Storage, open_storage
from tokensieve.storage.s3 import S3Storage

KEY = f"workspace/{INDEX_KEY}"
SAMPLES = [[Sample("s0", "wiki", (1, 2, 3)), Sample("s1", "web", (1, 2))]]
TOKENS = (
    "SELECT sample_id, position, influence, weight FROM tokens WHERE run = 'first' ORDER BY ALL"
)
FOUND = [("s0", 1, 2.0, 1.0), ("s0", 2, 0.0, 0.0), ("s1", 1, 1.0, 1.0)]
UPDATE = """
import sys
from sql.index import update_index
from tokensieve.settings import S3Settings
from tokensieve.storage import open_storage
update_index(open_storage(sys.argv[1], S3Settings(endpoint=sys.argv[2], region="us-east-1")))
"""


@pytest.fixture
def storage(s3) -> Storage:
    return open_storage(s3.address(), s3.settings)


@pytest.fixture
def elsewhere(s3, s3_proxy) -> Storage:
    """The same workspace as another machine sees it: what it asks for is known."""
    return open_storage(s3.address(), dataclasses.replace(s3, endpoint=s3_proxy.endpoint).settings)


def finished_run(storage: Storage, name: str) -> Artifact:
    """Finish a run of one round; return its corpus."""
    corpus = make_corpus(storage, SAMPLES)
    scores = {
        "base": make_scores(corpus, "base", [[3.0, 2.0, 1.5]]),
        "reference": make_scores(corpus, "reference", [[1.0, 2.0, 0.5]]),
    }
    finish_run(storage, name, [(corpus, scores, make_selection(corpus, [[1.0, 0.0, 1.0]]))])
    return corpus


def ask(storage: Storage, statement: str) -> list[tuple[object, ...]]:
    table = query(storage, statement, max_rows=100, max_seconds=30.0).table
    return list(zip(*(column.to_pylist() for column in table.columns), strict=True))


def runs_of(storage: Storage) -> list[str]:
    return [name for (name,) in ask(storage, "SELECT run FROM rounds ORDER BY run")]


def test_every_machine_reads_what_all_have_recorded_and_the_tokens_of_it(storage, elsewhere):
    finished_run(storage, "first")
    assert update_index(storage) == f"{storage}/index/tokensieve.duckdb"
    finished_run(elsewhere, "second")
    update_index(elsewhere)

    for machine in (storage, elsewhere):
        assert runs_of(machine) == ["first", "second"]
        assert rows(machine, "SELECT workspace FROM meta") == [(str(storage),)]
        assert ask(machine, TOKENS) == FOUND
        assert ask(machine, "SELECT count(*) FROM quarantine") == [(0,)]
        (found,) = explain_token(machine, "second", "s0", 1)
        assert (found["base_nll"], found["influence"], found["weight"]) == (3.0, 2.0, 1.0)
        (of_sample,) = read_token_maps(machine, "second", 0, ["s0"])
        assert (of_sample.columns["influence"][1], of_sample.weight_T[1]) == (2.0, 1.0)


def test_it_holds_what_the_index_of_the_same_rounds_on_a_disk_holds(storage, tmp_path):
    local = LocalStorage(tmp_path / "local")
    for place in (storage, local):
        finished_run(place, "first")
        update_index(place)
    tables = [f"FROM {name} ORDER BY ALL" for name in ("round_stats", "token_stats", "shards")]
    tables += ["SELECT * FROM tokens ORDER BY ALL", "SELECT * FROM samples ORDER BY ALL"]

    for statement in tables:
        assert rows(storage, statement) == rows(local, statement)


def test_it_is_fetched_where_it_is_asked_when_it_is_newer_and_only_then(
    storage, elsewhere, s3_proxy
):
    finished_run(storage, "first")
    update_index(storage)

    def is_fetched() -> bool:
        s3_proxy.requests.clear()
        ask(elsewhere, "FROM rounds")
        return any(each.startswith("GET") and KEY in each for each in s3_proxy.requests)

    assert [is_fetched(), is_fetched()] == [True, False]
    finished_run(storage, "second")
    update_index(storage)
    assert [is_fetched(), is_fetched()] == [True, False]
    assert runs_of(elsewhere) == ["first", "second"]


def test_an_update_with_nothing_to_add_publishes_nothing(storage, s3):
    finished_run(storage, "first")
    update_index(storage)
    before = storage.version(INDEX_KEY)

    update_index(storage)

    assert storage.version(INDEX_KEY) == before
    assert s3.keys("workspace/index/") == [KEY]


class Overtaken(S3Storage):
    """A workspace on a machine that `faster` is faster than, so many `times`."""

    faster: ClassVar[Callable[[], object]]
    times: ClassVar[int]

    def replace_version(self, key: str, ready: Path, version: str | None) -> bool:
        if type(self).times:
            type(self).times -= 1
            type(self).faster()
        return super().replace_version(key, ready, version)


@pytest.mark.parametrize(
    ("build", "before"), [(update_index, []), (update_index, ["first"]), (rebuild_index, ["first"])]
)
def test_a_builder_that_is_overtaken_builds_on_top_of_the_other(storage, elsewhere, build, before):
    for name in before:
        finished_run(storage, name)
        update_index(storage)
    finished_run(storage, "mine")

    def faster() -> None:
        finished_run(elsewhere, "theirs")
        update_index(elsewhere)

    build(seen_as(Overtaken, storage, faster=staticmethod(faster), times=1))

    assert runs_of(storage) == [*before, "mine", "theirs"]


def test_a_builder_that_is_always_overtaken_says_so(storage, monkeypatch):
    monkeypatch.setattr("sql.index.MAX_BUILDS", 3)
    finished_run(storage, "mine")

    def faster() -> None:
        storage.replace_bytes(INDEX_KEY, os.urandom(8))

    with pytest.raises(ConflictError, match="replaced 3 times"):
        rebuild_index(seen_as(Overtaken, storage, faster=staticmethod(faster), times=3))


def test_machines_that_build_at_once_lose_nothing(storage, s3, tmp_path):
    builders = []
    for number in range(2):
        finished_run(storage, f"run-{number}")
        environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path / f"machine-{number}")}
        command = [sys.executable, "-c", UPDATE, s3.address(), s3.endpoint]
        builders.append(subprocess.Popen(command, cwd=REPOSITORY, env=environment))

    assert [builder.wait() for builder in builders] == [0, 0]
    assert runs_of(storage) == ["run-0", "run-1"]


@pytest.mark.parametrize("point", ["before_index_swap", "after_index_swap"])
def test_a_build_that_is_killed_leaves_a_valid_index_and_the_next_one_finishes(storage, s3, point):
    finished_run(storage, "first")
    update_index(storage)
    finished_run(storage, "second")

    environment = {**os.environ, "TOKENSIEVE_ABORT_AT": f"{point}:0"}
    command = [sys.executable, "-c", UPDATE, s3.address(), s3.endpoint]
    killed = subprocess.run(command, cwd=REPOSITORY, env=environment, check=False)

    assert killed.returncode == -9
    assert runs_of(storage) == ["first", "second"][: 1 + (point == "after_index_swap")]
    update_index(storage)
    assert runs_of(storage) == ["first", "second"]
    assert s3.keys("workspace/index/") == [KEY]
    assert s3.uploads() == []


def test_an_index_that_is_deleted_is_made_anew(storage, elsewhere, s3):
    finished_run(storage, "first")
    update_index(storage)
    ask(elsewhere, "FROM rounds")
    s3.delete(KEY)

    for machine in (storage, elsewhere):
        with pytest.raises(InputError, match="tokensieve index"):
            ask(machine, "FROM rounds")
    update_index(elsewhere)

    assert ask(storage, TOKENS) == FOUND


@pytest.mark.parametrize(
    "damaged", [lambda data: data[: len(data) // 2], lambda data: b"\x01" * 9000]
)
def test_an_index_that_is_damaged_in_the_store_is_refused_and_rebuilt(storage, s3, damaged):
    finished_run(storage, "first")
    update_index(storage)
    s3.put(KEY, damaged(s3.get(KEY)))

    for refused in (runs_of, update_index):
        with pytest.raises(DamagedError, match=r"index/tokensieve\.duckdb.*"):
            refused(storage)
    rebuild_index(storage)

    assert ask(storage, TOKENS) == FOUND


def test_an_index_that_is_damaged_on_its_way_is_not_kept(storage, elsewhere, s3_proxy):
    finished_run(storage, "first")
    update_index(storage)
    flipped = s3_proxy.inject("flip", f"GET .*{KEY}")

    with pytest.raises(DamagedError, match=r"wanted sha256.*Ask again.*index --rebuild"):
        runs_of(elsewhere)

    assert flipped.injected == 1
    assert runs_of(elsewhere) == ["first"]


def test_somebody_elses_database_is_never_replaced(storage, s3, tmp_path):
    finished_run(storage, "first")
    with duckdb.connect(str(tmp_path / "precious.duckdb")) as connection:
        connection.execute("CREATE TABLE precious AS SELECT 1 AS a")
    s3.put(KEY, (tmp_path / "precious.duckdb").read_bytes())

    for refused in (update_index, rebuild_index, runs_of):
        with pytest.raises(InputError, match="not an index of tokensieve"):
            refused(storage)

    assert s3.get(KEY) == (tmp_path / "precious.duckdb").read_bytes()


def test_a_workspace_that_was_copied_gets_an_index_of_its_new_place(storage, s3):
    finished_run(storage, "first")
    update_index(storage)
    for key in s3.keys("workspace/"):
        s3.put(key.replace("workspace/", "copy/", 1), s3.get(key))
        s3.delete(key)
    copy = open_storage(s3.address("copy"), s3.settings)

    update_index(copy)

    assert ask(copy, TOKENS) == FOUND
    assert rows(copy, "SELECT workspace FROM meta") == [(str(copy),)]


FORBIDDEN = [
    "FROM read_text('/etc/hostname')",
    "FROM read_blob('/proc/self/environ')",
    "FROM read_text('{index}')",
    "FROM read_text('{root}/runs/first/RUN.json')",
    "FROM read_text('s3a://{bucket}/workspace/corpora/secret.txt')",
    "FROM read_text('s3://{bucket}/workspace-2/corpora/secret.txt')",
    "FROM read_text('s3://{bucket}/secret.txt')",
    "FROM read_text('s3://another-bucket/secret.txt')",
    "FROM read_text('{endpoint}/{bucket}/secret.txt')",
    "FROM read_parquet('{root}/corpora/*/shards/*.parquet')",
    "COPY (SELECT 1) TO '{root}/corpora/evil.parquet'",
    "COPY (SELECT 1) TO '{shard}'",
    "EXPLAIN ANALYZE COPY (SELECT 1) TO '{shard}'",
    "ATTACH '{shard}' AS shard",
    "CREATE SECRET s (TYPE s3)",
    "LOAD httpfs",
]


@pytest.fixture(scope="module")
def guarded(s3_server, tmp_path_factory) -> Iterator[tuple[Bucket, Storage, dict[str, object]]]:
    """A workspace among files that are none of a query's business, and what names them."""
    s3 = new_bucket(s3_server)
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        storage = open_storage(s3.address(), s3.settings)
        corpus = finished_run(storage, "first")
        update_index(storage)
        for key in ("workspace/corpora/secret.txt", "workspace-2/corpora/secret.txt", "secret.txt"):
            s3.put(key, b"secret")
        places = {"root": storage, "bucket": s3.name, "endpoint": s3.endpoint}
        places["shard"] = storage.place(corpus.required_receipt(0).files["shards"].key)
        places |= {"corpus": storage.place(corpus.key), "index": storage.local(INDEX_KEY)}
        yield s3, storage, places


@pytest.mark.parametrize("statement", FORBIDDEN)
def test_nothing_but_the_tables_of_the_index_and_its_artifacts_can_be_read(guarded, statement):
    s3, storage, places = guarded
    before = _content(s3)

    with pytest.raises((SettingsError, DamagedError), match="the query"):
        ask(storage, statement.format(**places))

    assert _content(s3) == before
    assert ask(storage, f"SELECT count(*) FROM '{places['shard']}'") == [(2,)]


@pytest.mark.parametrize(
    "name",
    ["{root}/corpora/secret.txt", "{root}/corpora/../runs/first/RUN.json", "{corpus}/*.json"],
)
def test_what_the_index_does_not_name_is_not_there(guarded, name):
    _, storage, places = guarded

    assert ask(storage, f"FROM read_text('{name.format(**places)}')") == []


class Counted(S3Storage):
    """A workspace of which the ranges are known that were read."""

    ranges: ClassVar[list[int]]

    def read_range(self, key: str, start: int, end: int) -> bytes:
        self.ranges.append(end - start)
        return super().read_range(key, start, end)


def test_of_a_large_file_only_the_columns_that_a_statement_names_are_read(storage):
    numbers = np.random.default_rng(0).integers(2**31, size=600_000, dtype=np.int32)
    table = pa.table({"sample_id": ["s0"], "input_ids": [numbers], "nll": [numbers]})
    data = parquet_bytes(table)
    storage.create("corpora/a/large.parquet", data)
    file = storage.place("corpora/a/large.parquet")
    counted = seen_as(Counted, storage, ranges=[])

    def bytes_for(statement: str) -> int:
        with duckdb.connect() as connection:
            connection.execute("CREATE TABLE shards (file TEXT, bytes BIGINT, num_rows BIGINT)")
            connection.execute(
                f"INSERT INTO shards VALUES ('corpora/a/large.parquet', {len(data)}, 1)"
            )
            counted.ranges.clear()
            with stored_files(connection, counted):
                connection.execute(statement).fetchall()
        return sum(counted.ranges)

    assert bytes_for(f"SELECT count(*) FROM '{file}'") < 100_000
    assert bytes_for(f"SELECT sample_id FROM '{file}'") < 100_000
    assert 2_400_000 < bytes_for(f"SELECT list_sum(nll) FROM '{file}'") < 2_600_000
    assert len(data) > 4_800_000


def test_a_file_that_is_missing_in_the_store_is_named(storage, s3):
    corpus = finished_run(storage, "first")
    update_index(storage)
    shard = corpus.required_receipt(0).files["shards"].key
    s3.delete(f"workspace/{shard}")

    with pytest.raises(DamagedError, match=f"^{storage}/{shard}: is missing.*made it again"):
        ask(storage, TOKENS)
    with pytest.raises(DamagedError, match=f"^{storage}/{shard}: is missing.*made it again"):
        explain_token(storage, "first", "s0", 1)
    with pytest.raises(DamagedError, match=f"^{storage}/{shard}: is missing.*made it again"):
        read_token_maps(storage, "first", 0, ["s0"])


def test_what_a_store_refuses_is_told_as_the_store_is_asked(storage, elsewhere, s3_proxy):
    finished_run(storage, "first")
    update_index(storage)
    denied = s3_proxy.inject("denied", "GET .*/shards/", times=None)

    with pytest.raises(SettingsError, match="shards/00000-") as caught:
        ask(elsewhere, TOKENS)

    assert denied.injected >= 1
    assert "Traceback" not in str(caught.value)


def test_an_open_reader_keeps_its_snapshot(storage):
    finished_run(storage, "first")
    update_index(storage)

    with connect_published(storage) as reader:
        finished_run(storage, "second")
        update_index(storage)
        assert reader.execute("SELECT run FROM rounds").fetchall() == [("first",)]
        assert reader.execute(TOKENS).fetchall() == FOUND

    assert runs_of(storage) == ["first", "second"]


def test_no_secret_and_no_address_of_the_store_gets_into_the_index(storage, s3):
    finished_run(storage, "first")
    update_index(storage)
    data = s3.get(KEY)

    assert str(storage).encode() in data
    for secret in (KEY_ID, SECRET, s3.endpoint):
        assert secret.encode() not in data


def _content(bucket: Bucket) -> dict[str, str]:
    found = bucket.client.list_objects_v2(Bucket=bucket.name)["Contents"]
    return {each["Key"]: each["ETag"] for each in found}


def seen_as(kind: type[S3Storage], storage: S3Storage, **attributes: object) -> S3Storage:
    """Return the same workspace as a class of its own with these attributes."""
    fields = {field.name: getattr(storage, field.name) for field in dataclasses.fields(storage)}
    return type(kind.__name__, (kind,), attributes)(**fields)
