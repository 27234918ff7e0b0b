"""Parquet drops: checked by type before a row is read, streamed, and never trusted.

The names begin with the row of the catalogue of bad inputs that they hold to.
"""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tokensieve.errors import InputError
from tokensieve.ingest import Inventory, Row, RowReader, take_inventory
from tokensieve.ingest.parquet import warn_of_joined_files
from tokensieve.settings import S3Settings

MESSAGES = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]
GOOD = pa.table({"prompt": ["q", "r"], "completion": ["a", "b"]})


def write(directory: Path, table: pa.Table, name: str = "drop.parquet", **options: Any) -> str:
    path = directory / name
    pq.write_table(table, path, **options)
    return str(path)


def write_bytes(directory: Path, data: bytes, name: str = "drop.parquet") -> str:
    path = directory / name
    path.write_bytes(data)
    return str(path)


def inventory_of(*paths: str) -> Inventory:
    return take_inventory(paths, "train", S3Settings())


def rows_of(*paths: str) -> list[Row]:
    inventory = inventory_of(*paths)
    with RowReader(inventory.files) as reader:
        return [row for shard in inventory.shards for piece in shard for row in reader.rows(piece)]


def test_rows_are_read_in_order_with_their_numbers(tmp_path: Path):
    table = pa.table({"id": [7, 8], "messages": [MESSAGES, MESSAGES[:1]], "extra": [1.0, 2.0]})
    rows = rows_of(write(tmp_path, table))
    assert [row.value for row in rows] == [
        {"id": 7, "messages": MESSAGES},
        {"id": 8, "messages": MESSAGES[:1]},
    ]
    assert [(row.line, row.byte_offset, row.num_unread) for row in rows] == [
        (1, None, 1),
        (2, None, 1),
    ]


@pytest.mark.parametrize("row_group_size", [100, 70_000])
def test_shards_hold_every_row_once_and_in_any_order_of_reading(
    tmp_path: Path, row_group_size: int
):
    num_rows = 20_000
    table = pa.table(
        {"prompt": [f"{n:050d}" for n in range(num_rows)], "completion": ["a"] * num_rows}
    )
    inventory = inventory_of(write(tmp_path, table, row_group_size=row_group_size))
    pieces = [piece for shard in inventory.shards for piece in shard]
    with RowReader(inventory.files) as reader:
        rows = {piece.start: [*reader.rows(piece)] for piece in [*pieces[1::2], *pieces[::-2]]}
    lines = [row.line for start in sorted(rows) for row in rows[start]]
    values = [
        int(row.value["prompt"]) for start in sorted(rows) for row in rows[start] if row.value
    ]
    assert len(inventory.shards) == len(pieces) == 9
    assert lines == list(range(1, num_rows + 1))
    assert values == list(range(num_rows))


@pytest.mark.parametrize("data", [b"", b"PAR1", b"PAR1PAR1", b"garbage in a file of this name"])
def test_p01_what_is_no_parquet_is_refused(tmp_path: Path, data: bytes):
    with pytest.raises(InputError, match=rf"not a complete Parquet file \({len(data)} bytes"):
        inventory_of(write_bytes(tmp_path, data))


@pytest.mark.parametrize("kept", [0.5, -1])
def test_p02_a_cut_file_is_refused(tmp_path: Path, kept: float):
    data = Path(write(tmp_path, GOOD)).read_bytes()
    end = -1 if kept < 0 else int(len(data) * kept)
    with pytest.raises(InputError, match=r"drop\.parquet: is not a complete Parquet file"):
        inventory_of(write_bytes(tmp_path, data[:end]))


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"version https://git-lfs.github.com/spec/v1\n", "Git LFS pointer.*git-lfs.github.com"),
        (b"<?xml version='1.0'?><Error><Code>NoSuchKey</Code>", "XML page.*NoSuchKey"),
    ],
)
def test_p03_an_error_page_is_shown(tmp_path: Path, data: bytes, what: str):
    with pytest.raises(InputError, match=what):
        inventory_of(write_bytes(tmp_path, data))


@pytest.mark.parametrize("length", [2**31 - 1, 2**32 - 1, 0])
def test_p04_a_footer_longer_than_the_file_is_refused(tmp_path: Path, length: int):
    data = b"PAR1" + b"x" * 1000 + length.to_bytes(4, "little") + b"PAR1"
    with pytest.raises(InputError, match="not a complete Parquet file"):
        inventory_of(write_bytes(tmp_path, data))


def test_p04_a_garbage_footer_is_refused(tmp_path: Path):
    data = b"PAR1" + b"\x99" * 1000 + (900).to_bytes(4, "little") + b"PAR1"
    with pytest.raises(InputError, match=r"drop\.parquet: cannot be read"):
        inventory_of(write_bytes(tmp_path, data))


def test_p05_a_flipped_bit_is_found_if_pages_have_checksums(tmp_path: Path):
    table = pa.table(
        {"prompt": [os.urandom(40).hex() for _ in range(500)], "completion": ["a"] * 500}
    )
    path = Path(write(tmp_path, table, compression="none", write_page_checksum=True))
    data = bytearray(path.read_bytes())
    data[10_000] ^= 1
    with pytest.raises(InputError, match="cannot be read"):
        inventory_of(write_bytes(tmp_path, bytes(data)))


def test_p06_files_put_together_are_a_warning(tmp_path: Path):
    table = pa.table({"prompt": [f"{n}" * 9 for n in range(999)], "completion": ["a"] * 999})
    data = Path(write(tmp_path, table)).read_bytes()
    inventory = inventory_of(write_bytes(tmp_path, data + data))
    assert inventory.num_rows == (999,)
    assert len(inventory.warnings) == 1
    assert "drop.parquet: looks like several Parquet files put together" in inventory.warnings[0]
    assert inventory_of(write(tmp_path, table)).warnings == ()


def test_p06_the_joint_is_found_wherever_it_lies(tmp_path: Path):
    for before in range((1 << 20) - 8, (1 << 20) + 1):
        path = write_bytes(tmp_path, b"x" * before + b"PAR1PAR1" + b"x" * 9)
        assert len(warn_of_joined_files(path)) == 1


MEASURE = """
import resource, sys
from tokensieve.ingest import RowReader, take_inventory
from tokensieve.settings import S3Settings
take_inventory([sys.argv[2]], "train", S3Settings())
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
inventory = take_inventory([sys.argv[1]], "train", S3Settings())
with RowReader(inventory.files) as reader:
    pieces = [piece for shard in inventory.shards for piece in shard]
    print(sum(len(row.value["prompt"]) for piece in pieces for row in reader.rows(piece)))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def test_p07_a_bomb_is_streamed(tmp_path: Path):
    repeated = pa.DictionaryArray.from_arrays(pa.array([0] * 400, pa.int32()), ["x" * 1_000_000])
    table = pa.table({"prompt": repeated, "completion": ["a"] * 400})
    path = write(tmp_path, table, compression="zstd", store_schema=False)
    small = write(tmp_path, GOOD, "small.parquet")
    assert Path(path).stat().st_size < 1000
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, path, small], capture_output=True, text=True, check=True
    )
    num_characters, grown = map(int, done.stdout.split())
    assert num_characters == 400_000_000
    assert grown < 200 << 10  # KiB; the column is 400 MB


def test_p07_a_row_beyond_the_limit_is_quarantined_alone(tmp_path: Path):
    table = pa.table({"prompt": ["q", "x" * (17 << 20), "r"], "completion": ["a", "b", "c"]})
    rows = rows_of(write(tmp_path, table))
    reasons = [row.problem and row.problem.reason for row in rows]
    assert reasons == [None, "decompressed_too_large", None]
    assert [row.line for row in rows] == [1, 2, 3]


def test_p08_too_many_columns_are_refused(tmp_path: Path):
    table = pa.table({f"c{n}": [1] for n in range(1001)})
    with pytest.raises(InputError, match="has 1001 columns; the limit is 1000"):
        inventory_of(write(tmp_path, table))


def test_p08_too_many_row_groups_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("tokensieve.ingest.parquet._MAX_ROW_GROUPS", 1)
    with pytest.raises(InputError, match="has 2 row groups; the limit is 1"):
        inventory_of(write(tmp_path, GOOD, row_group_size=1))


def test_p09_a_missing_column_is_named_with_what_is_there(tmp_path: Path):
    with pytest.raises(
        InputError, match="wants the columns prompt and completion, but has no comple"
    ):
        inventory_of(write(tmp_path, pa.table({"prompt": ["q"], "answer": ["a"]})))
    with pytest.raises(InputError, match=r"no known shape of row.*found 'text'"):
        inventory_of(write(tmp_path, pa.table({"text": ["q"]})))


def test_p09_a_column_that_is_there_twice_is_refused(tmp_path: Path):
    table = pa.Table.from_arrays([pa.array(["q"])] * 3, names=["prompt", "completion", "prompt"])
    with pytest.raises(InputError, match="has two columns 'prompt'"):
        inventory_of(write(tmp_path, table))


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"prompt": pa.array([b"q"])}, "column prompt must hold strings, but is of type binary"),
        ({"prompt": pa.array([1])}, "column prompt must hold strings, but is of type int64"),
        ({"id": pa.array([1.5])}, "column id must hold strings or integers, but is of type double"),
        ({"source": pa.array([["a"]])}, "column source must hold strings, but is of type list<"),
        ({"messages": pa.array(["a"])}, "column messages must hold lists of {role, content}"),
        ({"messages": pa.array([[{"role": "user"}]])}, "lists of {role, content}, but is of type"),
        (
            {"input_ids": pa.array([[1.0]]), "labels": pa.array([[1]])},
            "input_ids must hold lists of",
        ),
    ],
)
def test_p10_a_wrong_type_is_refused_with_both_types(
    tmp_path: Path, columns: dict[str, pa.Array], message: str
):
    table = pa.table({"prompt": ["q"], "completion": ["a"]} | columns)
    with pytest.raises(InputError, match=message):
        inventory_of(write(tmp_path, table))


def test_p10_wider_and_encoded_types_are_the_same_kind(tmp_path: Path):
    table = pa.table(
        {
            "prompt": pa.array(["q"], pa.large_string()),
            "completion": pa.array(["a"]).dictionary_encode(),
            "id": pa.array([3], pa.uint16()),
            "source": pa.array([None], pa.null()),
        }
    )
    rows = rows_of(write(tmp_path, table))
    assert rows[0].value == {"prompt": "q", "completion": "a", "id": 3, "source": None}


def test_p12_invalid_utf8_is_a_problem_of_its_row_alone(tmp_path: Path):
    texts = pa.array([b"q", b"caf\xe9", b"r"], pa.binary())
    bad = pa.Array.from_buffers(pa.string(), 3, texts.buffers())
    rows = rows_of(write(tmp_path, pa.table({"prompt": bad, "completion": ["a", "b", "c"]})))
    assert [row.value and row.value["prompt"] for row in rows] == ["q", None, "r"]
    assert rows[1].problem is not None
    assert (rows[1].line, rows[1].problem.reason, rows[1].problem.field) == (
        2,
        "bad_utf8",
        "prompt",
    )


def test_p12_invalid_utf8_inside_a_conversation_is_a_problem_of_its_row_alone(tmp_path: Path):
    path = Path(write(tmp_path, pa.table({"messages": [MESSAGES] * 3, "id": ["a", "b", "c"]})))
    contents = pa.array([b"q", b"a", b"q", b"\xff", b"q", b"a"], pa.binary())
    bad = pa.Array.from_buffers(pa.string(), 6, contents.buffers())
    messages = pa.StructArray.from_arrays([["user", "assistant"] * 3, bad], ["role", "content"])
    lists = pa.ListArray.from_arrays([0, 2, 4, 6], messages)
    pq.write_table(pa.table({"messages": lists, "id": ["a", "b", "c"]}), path)
    rows = rows_of(str(path))
    assert [row.value and row.value["id"] for row in rows] == ["a", None, "c"]
    assert rows[1].problem is not None
    assert (rows[1].problem.reason, rows[1].problem.field) == ("bad_utf8", "messages")


def test_p13_extension_types_are_refused(tmp_path: Path):
    name, code = b"ray.data.arrow_tensor_v2", b"cos\nsystem\n(S'touch ran'\ntR."
    field = pa.field(
        "prompt",
        pa.string(),
        metadata={b"ARROW:extension:name": name, b"ARROW:extension:metadata": code},
    )
    table = pa.table([["q"], ["a"]], schema=pa.schema([field, ("completion", pa.string())]))
    with pytest.raises(InputError, match="column 'prompt' is of an extension type"):
        inventory_of(write(tmp_path, table))
    uuids = pa.ExtensionArray.from_storage(pa.uuid(), pa.array([b"0" * 16], pa.binary(16)))
    table = pa.table({"prompt": ["q"], "completion": ["a"], "key": uuids})
    with pytest.raises(InputError, match="column 'key' is of an extension type"):
        inventory_of(write(tmp_path, table))


def test_p14_an_encrypted_file_is_called_encrypted(tmp_path: Path):
    data = b"PARE" + b"x" * 100 + (50).to_bytes(4, "little") + b"PARE"
    with pytest.raises(InputError, match=r"drop\.parquet: is encrypted"):
        inventory_of(write_bytes(tmp_path, data))


def test_p15_files_that_disagree_on_a_column_are_named(tmp_path: Path):
    one = write(tmp_path, GOOD.append_column("id", pa.array(["a", "b"])), "one.parquet")
    two = write(tmp_path, GOOD.append_column("id", pa.array([1, 2])), "two.parquet")
    with pytest.raises(InputError, match=f"{two}: column id holds integers, but strings in {one}"):
        inventory_of(one, two)
    none = write(tmp_path, GOOD.append_column("id", pa.nulls(2)), "none.parquet")
    assert inventory_of(none, two).num_rows == (2, 2)


def test_p16_numbers_that_are_not_finite_are_only_in_columns_that_are_not_read(tmp_path: Path):
    table = GOOD.append_column("score", pa.array([float("nan"), float("inf")]))
    assert [row.value for row in rows_of(write(tmp_path, table))] == GOOD.to_pylist()


def test_p18_a_directory_name_is_no_column(tmp_path: Path):
    folder = tmp_path / "source='; x"
    folder.mkdir()
    write(folder, GOOD)
    assert [row.value for row in rows_of(str(folder))] == GOOD.to_pylist()


def test_j43_a_file_changed_after_planning_is_refused(tmp_path: Path):
    path = write(tmp_path, GOOD)
    inventory = inventory_of(path)
    write(tmp_path, pa.table({"prompt": ["q", "r"], "completion": ["a", "c"]}))
    with (
        RowReader(inventory.files) as reader,
        pytest.raises(InputError, match="changed since the run was planned"),
    ):
        list(reader.rows(inventory.shards[0][0]))


def test_j43_a_file_changed_while_it_is_read_is_refused(tmp_path: Path):
    path = write(tmp_path, GOOD)
    inventory = inventory_of(path)
    with RowReader(inventory.files) as reader:
        rows = reader.rows(inventory.shards[0][0])
        next(rows)
        os.utime(path, ns=(1, 1))
        with pytest.raises(InputError, match="changed since the run was planned"):
            list(rows)
