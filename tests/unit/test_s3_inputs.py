"""Drops on S3: the same corpus as from a disk, what is refused, and what happens meanwhile."""

import gzip
import json
import pickle
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.drops import write_drop
from tests.s3_server import SECRET
from tests.tiny_models import build_tiny_model
from tests.tiny_plans import commit_corpus
from tests.workspaces import published
from tokensieve.errors import InputError, ServiceError, SettingsError
from tokensieve.external import read_external
from tokensieve.ingest import RowReader, take_inventory
from tokensieve.ingest.directories import find_files, one_file
from tokensieve.models import ModelPlace
from tokensieve.objects import ObjectFile, find_object
from tokensieve.planning.steps import corpus_step
from tokensieve.settings import CleanSettings, ClusterSettings, CorpusSettings, S3Settings, checked
from tokensieve.storage import LocalStorage

FORMS = ("jsonl", "jsonl.gz", "jsonl.zst", "parquet")
ROW = b'{"prompt": "q", "completion": "a"}\n'


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return build_tiny_model(tmp_path_factory.mktemp("models") / "base", seed=1, hidden=16)


@pytest.fixture(scope="module")
def drop(tmp_path_factory):
    """A folder with one file of each form."""
    folder = tmp_path_factory.mktemp("drop")
    for seed, form in enumerate(FORMS):
        data = write_drop(folder / "rows", num_rows=8, seed=seed).read_bytes()
        (folder / f"{form.replace('.', '-')}.{form}").write_bytes(in_form(form, data))
    (folder / "rows").unlink()
    return folder


def in_form(form: str, data: bytes) -> bytes:
    if form == "jsonl.gz":
        return gzip.compress(data, mtime=0)
    if form == "jsonl.zst":
        return pa.compress(data, codec="zstd", asbytes=True)
    if form == "parquet":
        rows = pa.BufferOutputStream()
        pq.write_table(pa.Table.from_pylist([json.loads(line) for line in data.splitlines()]), rows)
        return rows.getvalue().to_pybytes()
    return data


def corpus_of(files: list[str], base: Path, workspace: Path, s3: S3Settings) -> tuple[str, dict]:
    """Make a corpus; return its id and the hash of everything that was published."""
    step = corpus_step(
        LocalStorage(workspace),
        tuple(files),
        ModelPlace(str(base), s3),
        CorpusSettings(template="tulu"),
        64,
        ClusterSettings(),
    )
    commit_corpus(step)
    return step.artifact.id, published(workspace)


def put_folder(s3, folder: Path, prefix: str) -> None:
    for path in folder.iterdir():
        s3.put(f"{prefix}/{path.name}", path.read_bytes())


# --- the same as from a disk


@pytest.mark.parametrize("form", FORMS)
def test_a_file_gives_the_corpus_of_its_local_copy_to_the_byte(s3, base, drop, tmp_path, form):
    name = f"{form.replace('.', '-')}.{form}"
    put_folder(s3, drop, "drops/monday")

    on_disk = corpus_of([str(drop / name)], base, tmp_path / "1", s3.settings)
    on_s3 = corpus_of([s3.address(f"drops/monday/{name}")], base, tmp_path / "2", s3.settings)

    assert on_s3 == on_disk


def test_a_prefix_is_what_a_folder_is(s3, base, drop, tmp_path):
    put_folder(s3, drop, "drops/monday")

    on_disk = corpus_of([str(drop)], base, tmp_path / "1", s3.settings)

    for n, address in enumerate(("drops/monday", "drops/monday/")):
        assert corpus_of([s3.address(address)], base, tmp_path / f"s{n}", s3.settings) == on_disk


def test_files_of_the_same_name_are_told_apart_by_their_folders(s3):
    for day, row in (("monday", ROW), ("tuesday", 2 * ROW)):
        s3.put(f"drops/{day}/part.jsonl", row)
    addresses = [s3.address(f"drops/{day}/part.jsonl") for day in ("monday", "tuesday")]

    files = take_inventory(addresses, "train", s3.settings).files

    assert [file.name for file in files] == ["monday/part.jsonl", "tuesday/part.jsonl"]
    assert [file.source for file in files] == ["monday/part", "tuesday/part"]


def test_what_stands_for_a_folder_and_what_is_hidden_is_no_file(s3):
    s3.put("drops/b.jsonl", ROW)
    s3.put("drops/a.jsonl", ROW)
    for key in ("drops/", "drops/.part.jsonl", "drops/.tmp/x.jsonl", "drops/_SUCCESS"):
        s3.put(key, b"")
    s3.put("drops/readme.md", b"words")
    s3.put("drops/old/c.jsonl", ROW)

    files, warnings = find_files([s3.address("drops")], "train", s3.settings)

    assert [str(file.path) for file in files] == [
        s3.address("drops/a.jsonl"),
        s3.address("drops/b.jsonl"),
    ]
    assert warnings == [f"{s3.address('drops')}: 2 other entries are not read: 'old, readme.md'"]


def test_a_bucket_may_be_a_drop_of_more_files_than_a_page_lists(s3):
    client = s3.client
    for number in range(1003):
        client.put_object(Bucket=s3.name, Key=f"{number:04d}.jsonl", Body=b"")

    files, _ = find_files([f"s3://{s3.name}"], "train", s3.settings)

    assert len(files) == 1003


def test_names_with_odd_letters_are_read_below_a_prefix(s3):
    names = ["a b+c.jsonl", "ä%2e[1].jsonl"]
    for n, name in enumerate(names):
        s3.put(f"drops/{name}", (n + 1) * ROW)

    inventory = take_inventory([s3.address("drops")], "train", s3.settings)

    assert [file.name for file in inventory.files] == names
    assert inventory.num_rows == (1, 2)


def test_numbers_made_elsewhere_may_lie_on_s3(s3):
    table = pa.table({"sample_id": ["a", "b"], "value": [[1.0, 2.0], [3.0]]})
    file = pa.BufferOutputStream()
    pq.write_table(table, file)
    s3.put("numbers.parquet", file.getvalue().to_pybytes())

    external = read_external(one_file(s3.address("numbers.parquet"), s3.settings))

    assert external.values_V.tolist() == [1.0, 2.0, 3.0]
    with pytest.raises(InputError, match=r"numbers\.pq: there is no such object"):
        one_file(s3.address("numbers.pq"), s3.settings)


# --- what goes over the wire, and what stays


def test_a_plan_holds_no_endpoint_and_no_secret(s3, base, drop, tmp_path):
    put_folder(s3, drop, "drop")

    step = corpus_step(
        LocalStorage(tmp_path),
        (s3.address("drop"),),
        ModelPlace(str(base), s3.settings),
        CorpusSettings(template="tulu"),
        64,
        ClusterSettings(),
    )

    assert s3.endpoint not in json.dumps(step.artifact.plan)
    assert s3.name not in json.dumps(step.artifact.plan)
    assert SECRET.encode() not in pickle.dumps(step)


def test_a_large_file_is_read_in_few_requests(s3, s3_proxy):
    s3.put("large.jsonl", b"x" * (20 << 20))
    found = find_object(s3.address("large.jsonl"), S3Settings(endpoint=s3_proxy.endpoint))

    with ObjectFile(found) as file:
        num_bytes = sum(len(block) for block in iter(lambda: file.read(1000_000), b""))

    assert num_bytes == 20 << 20
    assert len(s3_proxy.requests) <= 12


def test_jumps_read_what_lies_there(s3):
    data = bytes(n % 251 for n in range(300_000))
    s3.put("bytes", data)

    with ObjectFile(find_object(s3.address("bytes"), s3.settings)) as file:
        for place in (299_990, 5, 200_000, 0, 100_000):
            file.seek(place)
            assert file.read(10) == data[place : place + 10]
            assert file.tell() == place + 10
        assert file.seek(-3, 2) == 299_997
        assert file.read(10) == data[-3:]
        assert file.read(10) == b""


def in_groups(lines: list[bytes]) -> bytes:
    """Parquet with few rows in a group: a group is what a reader holds."""
    sink = pa.BufferOutputStream()
    schema = pa.schema([("prompt", "string"), ("completion", "string")])
    with pq.ParquetWriter(sink, schema) as file:
        for first in range(0, len(lines), 100):
            rows = [json.loads(line) for line in lines[first : first + 100]]
            file.write_table(pa.Table.from_pylist(rows, schema=schema))
    return sink.getvalue().to_pybytes()


MEASURE = """
import re, sys
from pathlib import Path
from tokensieve.ingest import RowReader, take_inventory
from tokensieve.settings import S3Settings
def most_held():  # not ru_maxrss, which begins with that of the parent
    return int(re.search("VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])
s3 = S3Settings(endpoint=sys.argv[3], region="us-east-1")
take_inventory([sys.argv[2]], "train", s3)
before = most_held()
inventory = take_inventory([sys.argv[1]], "train", s3)
with RowReader(inventory.files) as reader:
    pieces = [piece for shard in inventory.shards for piece in shard]
    print(sum(1 for piece in pieces for row in reader.rows(piece)))
print(most_held() - before)
"""


@pytest.mark.parametrize("form", ["jsonl", "parquet"])
def test_a_file_is_never_held_whole(s3, form):
    row = b'{"prompt": "q", "completion": "%s"}\n'
    lines = [row % (b"%07d" % n * 2000) for n in range(6000)]  # 84 MB
    s3.put("small", in_form(form, row % b"a"))
    s3.put("large", in_groups(lines) if form == "parquet" else b"".join(lines))

    found = subprocess.run(
        [sys.executable, "-c", MEASURE, s3.address("large"), s3.address("small"), s3.endpoint],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[2],
    ).stdout.split()

    assert int(found[0]) == 6000
    assert int(found[1]) < 36 << 10, "kilobytes more at the most"


# --- changed while it is read


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("meanwhile", ["replaced", "removed"])
def test_s12_a_file_that_is_not_what_was_planned_is_refused(s3, drop, form, meanwhile):
    key = f"drops/rows.{form}"
    s3.put(key, (drop / f"{form.replace('.', '-')}.{form}").read_bytes())
    inventory = take_inventory([s3.address(key)], "train", s3.settings)

    if meanwhile == "removed":
        s3.delete(key)
    else:
        s3.put(key, in_form(form, 9 * ROW))

    [[piece]] = inventory.shards
    with (
        pytest.raises(InputError, match=rf"rows\.{form}: changed since the run was planned"),
        RowReader(inventory.files) as reader,
    ):
        list(reader.rows(piece))


def test_s12_a_table_of_the_same_size_is_refused_too(s3):
    one, other = (in_form("parquet", row) for row in (ROW, ROW.replace(b'"a"', b'"b"')))
    assert len(one) == len(other)
    s3.put("rows.parquet", one)
    inventory = take_inventory([s3.address("rows.parquet")], "train", s3.settings)
    s3.put("rows.parquet", other)

    with pytest.raises(InputError, match="changed since"), RowReader(inventory.files) as reader:
        list(reader.rows(inventory.shards[0][0]))


# --- what cannot be read


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"version https://git-lfs.github.com/spec/v1\n", "is a Git LFS pointer"),
        (b"<html>", "is an HTML or XML page"),
        (b"PK\x03\x04", "is a zip archive"),
        (b"PAR1" + b"x" * 100, "is not a complete Parquet file"),
        (b'[{"prompt": 1}]', "looks like a JSON array"),
        (b'{"prompt": "q", "comp', "the file is cut in this line"),
        (b"\n\n", "the drop has no rows"),
    ],
)
def test_every_check_of_local_files_is_made(s3, data, told):
    s3.put("drop.jsonl", data)

    with pytest.raises(InputError, match=told) as caught:
        take_inventory([s3.address("drop.jsonl")], "train", s3.settings)

    assert s3.address("drop.jsonl") in str(caught.value)


def test_a_directory_of_datasets_is_refused(s3):
    for name in ("state.json", "dataset_info.json", "data-00000-of-00001.arrow"):
        s3.put(f"saved/{name}", b"{}")

    with pytest.raises(InputError, match="is a `datasets` directory; on S3 they are not read"):
        find_files([s3.address("saved")], "train", s3.settings)


def test_what_is_not_there_is_named(s3):
    s3.put("drops/notes.txt", b"")
    elsewhere = "s3://no-such-bucket-here/drop.jsonl"

    with pytest.raises(InputError, match=r"gone\.jsonl: there is no such object, and nothing lies"):
        find_files([s3.address("gone.jsonl")], "train", s3.settings)
    with pytest.raises(InputError, match=r"drops: holds no file named \*\.jsonl"):
        find_files([s3.address("drops")], "train", s3.settings)
    with pytest.raises(InputError, match=r"no-such-bucket-here.*: there is no such bucket"):
        find_files([elsewhere], "train", s3.settings)


@pytest.mark.parametrize("request_of", ["HEAD", "GET"])
def test_what_may_not_be_read_is_named(s3, s3_proxy, request_of):
    s3.put("drop.jsonl", ROW)
    fault = s3_proxy.inject("denied", f"{request_of} .*drop", times=None)

    with pytest.raises(InputError, match=r"drop\.jsonl: the credentials do not allow s3:GetObject"):
        take_inventory([s3.address("drop.jsonl")], "train", S3Settings(endpoint=s3_proxy.endpoint))

    assert fault.injected


def test_credentials_that_expire_meanwhile_are_for_the_service(s3, s3_proxy):
    s3.put("drop.jsonl", ROW)
    fault = s3_proxy.inject("expired", "GET", times=None)

    with pytest.raises(ServiceError, match=r"the credentials expired .* same command again"):
        take_inventory([s3.address("drop.jsonl")], "train", S3Settings(endpoint=s3_proxy.endpoint))

    assert fault.injected == 2, "they are renewed once"


@pytest.mark.parametrize("kind", ["reset", "cut", "503", "500"])
def test_a_bad_moment_of_the_network_changes_nothing(s3, s3_proxy, kind):
    s3.put("drop.jsonl", 50 * ROW)
    fault = s3_proxy.inject(kind, "GET /[^?]*drop", times=2)

    inventory = take_inventory(
        [s3.address("drop.jsonl")], "train", S3Settings(endpoint=s3_proxy.endpoint)
    )

    assert inventory.files[0].sha256 == (
        take_inventory([s3.address("drop.jsonl")], "train", s3.settings).files[0].sha256
    )
    assert fault.injected == 2


# --- settings


@pytest.mark.parametrize(
    ("file", "workspace"),
    [
        ("s3://bucket/runs/drop.jsonl", "s3://bucket/runs"),
        ("s3://bucket/runs", "s3://bucket/runs/"),
        ("s3://bucket", "s3://bucket/runs"),
        ("s3://bucket/a", "s3://bucket/a/b/runs"),
    ],
)
def test_s11_a_drop_and_a_workspace_in_each_other_are_refused(file, workspace):
    with pytest.raises(SettingsError, match=r"files: .* lie in each other"):
        checked(CleanSettings, {"files": (file,), "base": "b", "workspace": workspace})


@pytest.mark.parametrize(
    "file", ["s3://bucket/runs-old/drop.jsonl", "s3://other/runs", "s3://bucket/runs/noise/1/drop"]
)
def test_neighbours_of_a_workspace_and_planted_drops_are_inputs(file):
    values = {"files": (file,), "base": "b", "workspace": "s3://bucket/runs"}

    assert checked(CleanSettings, values).files == (file,)


@pytest.mark.parametrize("key", ["files", "base", "reference", "external"])
def test_an_address_that_may_hold_a_secret_is_refused_without_repeating_it(key):
    address = f"s3://KEY:{SECRET}@bucket/x"
    values = {"files": ("drop.jsonl",), "base": "b"}
    values[key] = (address,) if key == "files" else address

    with pytest.raises(SettingsError, match=f"{key}: .*perhaps a secret") as caught:
        checked(CleanSettings, values)

    assert SECRET not in str(caught.value)
