"""JSONL drops: every bad input is refused, quarantined or counted, and never lost.

The names begin with the row of the catalogue of bad inputs that they hold to.
"""

import gzip
import hashlib
import io
import json
import os
import resource
import socket
import subprocess
import sys
import zlib
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tokensieve.errors import InputError
from tokensieve.ingest import Inventory, Row, RowReader, read_rows, take_inventory
from tokensieve.ingest.lines import HashedFile
from tokensieve.ingest.records import RowProblem
from tokensieve.ingest.strict_json import parse_object
from tokensieve.settings import S3Settings

GOOD = b'{"prompt":"q","completion":"a"}\n'


def write(directory: Path, data: bytes, name: str = "drop.jsonl") -> str:
    path = directory / name
    path.write_bytes(data)
    return str(path)


def inventory_of(*paths: str) -> Inventory:
    return take_inventory(paths, "train", S3Settings())


def rows_of(*paths: str) -> list[Row]:
    """Return the rows of a whole drop, blank lines too."""
    inventory = inventory_of(*paths)
    with RowReader(inventory.files) as reader:
        return [row for shard in inventory.shards for piece in shard for row in reader.rows(piece)]


def problem_of(directory: Path, line: bytes) -> tuple[str, str]:
    """Return reason and field of a bad line that stands between two good ones."""
    rows = rows_of(write(directory, GOOD + line + b"\n" + GOOD))
    assert [row.problem is None for row in rows] == [True, False, True]
    bad = rows[1]
    assert (bad.line, bad.byte_offset, bad.raw) == (2, len(GOOD), line)
    assert bad.problem is not None
    return bad.problem.reason, bad.problem.field


def zstd(data: bytes) -> bytes:
    return bytes(pa.compress(data, "zstd", asbytes=True))


# --- files as a whole


@pytest.mark.parametrize("data", [b"", b"\n \n\t\r\n"])
def test_j01_j02_a_drop_without_rows_is_refused(tmp_path: Path, data: bytes):
    with pytest.raises(InputError, match=r"drop\.jsonl: the drop has no rows"):
        inventory_of(write(tmp_path, data))


def test_j01_j02_an_empty_file_beside_others_is_a_warning(tmp_path: Path):
    paths = [write(tmp_path, b"", "none.jsonl"), write(tmp_path, b"\n \n", "blank.jsonl")]
    inventory = inventory_of(*paths, write(tmp_path, GOOD + b"\n"))
    assert inventory.num_rows == (0, 0, 1)
    assert inventory.num_blank == (0, 2, 1)
    assert inventory.warnings == (
        f"{paths[0]}: has no rows (0 blank lines)",
        f"{paths[1]}: has no rows (2 blank lines)",
    )


@pytest.mark.parametrize("tail", [b'{"a":', b'{"a":"b', b'{"a', b"{", b'{"a":tr', b'{"a":"\\u12'])
def test_j03_a_file_cut_in_its_last_line_is_refused(tmp_path: Path, tail: bytes):
    with pytest.raises(InputError, match=r"drop\.jsonl:2: the file is cut in this line"):
        inventory_of(write(tmp_path, GOOD + tail))


def test_j03_a_last_line_without_an_end_is_whole_if_its_value_is(tmp_path: Path):
    assert [row.value for row in rows_of(write(tmp_path, b'{"a":1}\n{"b":2}'))] == [
        {"a": 1},
        {"b": 2},
    ]


@pytest.mark.parametrize(
    "data", [b'[{"a":1},{"a":2}]', b'[\n{"a":1},\n{"a":2}\n]', b'\n\xef\xbb\xbf [{"a":\n1}]']
)
def test_j07_a_json_array_is_refused(tmp_path: Path, data: bytes):
    with pytest.raises(InputError, match="jq -c"):
        inventory_of(write(tmp_path, data.replace(b"\n\xef\xbb\xbf", b"\xef\xbb\xbf\n")))


def test_j07_a_pretty_printed_object_is_refused(tmp_path: Path):
    with pytest.raises(InputError, match="looks like pretty-printed JSON"):
        inventory_of(write(tmp_path, json.dumps({"a": 1}, indent=2).encode()))


def test_j09_a_byte_order_mark_is_stripped_once(tmp_path: Path):
    mark = b"\xef\xbb\xbf"
    rows = rows_of(write(tmp_path, mark + GOOD + mark + GOOD))
    assert rows[0].value == {"prompt": "q", "completion": "a"}
    assert rows[1].problem is not None
    with pytest.raises(InputError, match="the drop has no rows"):
        inventory_of(write(tmp_path, mark))


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le"])
def test_j10_other_encodings_are_named(tmp_path: Path, encoding: str):
    with pytest.raises(InputError, match=f"is {encoding[:6].upper()}. Convert it"):
        inventory_of(write(tmp_path, GOOD.decode().encode(encoding)))


def test_j17_crlf_ends_lines_and_lone_carriage_returns_are_refused(tmp_path: Path):
    crlf = GOOD.replace(b"\n", b"\r\n")
    rows = rows_of(write(tmp_path, crlf + b"\r\n" + crlf))
    assert [row.is_blank for row in rows] == [False, True, False]
    assert rows[2].byte_offset == len(crlf) + 2
    with pytest.raises(InputError, match="old-Mac line ends"):
        inventory_of(write(tmp_path, GOOD.replace(b"\n", b"\r") * 3))


@pytest.mark.parametrize(
    ("head", "what"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n", "Git LFS pointer"),
        (b"<!DOCTYPE html><html>", "HTML or XML page"),
        (b'<?xml version="1.0"?><Error><Code>AccessDenied</Code>', "AccessDenied"),
        (b"PK\x03\x04", "zip archive"),
    ],
)
def test_p03_what_is_no_data_is_called_what_it_is(tmp_path: Path, head: bytes, what: str):
    with pytest.raises(InputError, match=what):
        inventory_of(write(tmp_path, head))


def test_j42_compression_is_told_by_content_and_a_wrong_name_is_a_warning(tmp_path: Path):
    plain = write(tmp_path, GOOD, "plain.jsonl.gz")
    packed = write(tmp_path, zstd(GOOD * 2), "packed.jsonl")
    members = write(tmp_path, gzip.compress(GOOD * 3) + gzip.compress(GOOD), "members.jsonl.gz")
    inventory = inventory_of(plain, packed, members)
    assert inventory.num_rows == (1, 2, 4)
    assert inventory.warnings == (f"{plain}: is named .gz, but its content is plain",)


@pytest.mark.parametrize("compress", [gzip.compress, zstd])
@pytest.mark.parametrize("damage", ["cut", "junk"])
def test_j42_cut_streams_and_trailing_junk_are_refused(tmp_path: Path, compress, damage: str):
    data = compress(GOOD * 1000)
    path = write(tmp_path, data[:-9] if damage == "cut" else data + b"junk")
    with pytest.raises(InputError, match=r"drop\.jsonl: cannot be read: .* Copy the file again"):
        inventory_of(path)


def test_j42_a_damaged_stream_is_refused(tmp_path: Path):
    data = bytearray(gzip.compress(GOOD * 1000))
    data[20] ^= 0xFF
    with pytest.raises(InputError, match="cannot be read"):
        inventory_of(write(tmp_path, bytes(data)))


@pytest.mark.parametrize(
    ("path", "what"),
    [
        ("/dev/zero", "is a device"),
        ("pipe", "is a pipe"),
        ("socket", "cannot be read"),
        ("none", "no such file"),
    ],
)
def test_j44_what_is_no_file_is_refused_without_waiting(tmp_path: Path, path: str, what: str):
    os.mkfifo(tmp_path / "pipe")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "socket"))
        with pytest.raises(InputError, match=what):
            inventory_of(str(tmp_path / path))


def test_j44_an_unreadable_file_is_refused(tmp_path: Path):
    path = write(tmp_path, GOOD)
    Path(path).chmod(0)
    user = os.geteuid()
    os.seteuid(user or 65534)  # root may read everything
    try:
        with pytest.raises(InputError, match=r"Permission denied\. Check the path"):
            inventory_of(path)
    finally:
        os.seteuid(user)


def test_j44_a_dangling_link_is_named_with_its_target(tmp_path: Path):
    (tmp_path / "link.jsonl").symlink_to(tmp_path / "gone")
    with pytest.raises(InputError, match=r"is a dangling link: .*gone"):
        inventory_of(str(tmp_path / "link.jsonl"))


def test_j45_the_same_file_is_read_once(tmp_path: Path):
    path = write(tmp_path, GOOD)
    (tmp_path / "link.jsonl").symlink_to(path)
    (tmp_path / "hard.jsonl").hardlink_to(path)
    copy = write(tmp_path, GOOD, "copy.jsonl")
    inventory = inventory_of(
        path, path, str(tmp_path / "link.jsonl"), str(tmp_path / "hard.jsonl"), copy
    )
    assert [file.path for file in inventory.files] == [path]
    assert len(inventory.warnings) == 4
    assert inventory.warnings[3] == f"{copy}: has the content of {path}; it is read once"


def test_j46_many_small_files_share_shards_and_few_descriptors(tmp_path: Path):
    paths = [write(tmp_path, b'{"n":%d}\n' % n, f"{n:04d}.jsonl") for n in range(400)]
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (100, hard))
    try:
        rows = rows_of(*paths)
        assert len(inventory_of(*paths).shards) == 1
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert [row.value for row in rows] == [{"n": n} for n in range(400)]


def test_j49_one_row_is_one_shard(tmp_path: Path):
    assert len(inventory_of(write(tmp_path, GOOD)).shards) == 1


def test_a_store_that_is_not_read_is_refused():
    with pytest.raises(InputError, match=r"'gs://bucket/drop\.jsonl': only paths, s3://"):
        inventory_of("gs://bucket/drop.jsonl")


# --- lines


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b'{"a":', "json_truncated"),
        (b'{"a":1,}', "json_syntax"),
        (b"{'a':1}", "json_syntax"),
        (b'{"a":1 // one', "json_syntax"),
        (b'{"a":None}', "json_syntax"),
        (b'{"a":1} x', "json_syntax"),
        (b'{"a":"\x01"}', "json_syntax"),
        (b'{"a":1}{"b":2}', "two_values_on_line"),
        (b'{"a":1} [2]', "two_values_on_line"),
        (b"[1]", "not_an_object"),
        (b'"text"', "not_an_object"),
        (b"12", "not_an_object"),
        (b"null", "not_an_object"),
        (b'{"a":"caf\xe9"}', "bad_utf8"),
        (b'{"a":"\xc0\x80"}', "bad_utf8"),
        (b'{"a":"\xed\xa0\x80"}', "bad_utf8"),
        (b'{"a":NaN}', "non_finite_number"),
        (b'{"a":-Infinity}', "non_finite_number"),
        (b'{"a":1e999}', "non_finite_number"),
        (b'{"a":' + b"9" * 5000 + b"}", "number_too_long"),
        (b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "too_deep"),
        (b'{"a":' + b"[" * 64 + b"]" * 64 + b"}", "too_deep"),
    ],
)
def test_j04_to_j22_a_bad_line_is_a_problem_of_its_own_line(
    tmp_path: Path, line: bytes, reason: str
):
    assert problem_of(tmp_path, line)[0] == reason


def test_j05_a_syntax_error_has_a_column(tmp_path: Path):
    rows = rows_of(write(tmp_path, GOOD + b'{"a":None}\n'))
    assert rows[1].problem is not None
    assert rows[1].problem.detail == "Expecting value at column 6: 'None}'"


def test_j08_a_list_in_the_first_line_is_a_row_and_not_a_file(tmp_path: Path):
    rows = rows_of(write(tmp_path, b"[1, 2]\n" + GOOD))
    assert [row.problem and row.problem.reason for row in rows] == ["not_an_object", None]


def test_j11_bad_utf8_has_a_byte_offset(tmp_path: Path):
    rows = rows_of(write(tmp_path, GOOD + b'{"a":"caf\xe9"}\n'))
    assert rows[1].problem is not None
    assert rows[1].problem.detail == "byte 10 of the line is no UTF-8 (e9 22 7d 0a)"


@pytest.mark.parametrize(
    ("line", "field"),
    [
        (b'{"messages":[{"content":"\\ud800"}]}', "messages[0].content"),
        (b'{"a":"\\uDC00"}', "a"),
        (b'{"a b":["x","\\ud83d"]}', "'a b'[1]"),
    ],
)
def test_j13_a_lone_surrogate_names_its_field(tmp_path: Path, line: bytes, field: str):
    assert problem_of(tmp_path, line) == ("lone_surrogate", field)


def test_j13_a_pair_of_surrogates_is_a_character(tmp_path: Path):
    assert rows_of(write(tmp_path, b'{"a":"\\ud83d\\ude00"}\n'))[0].value == {"a": "\U0001f600"}


def test_j22_sixty_four_levels_are_not_too_deep(tmp_path: Path):
    line = b'{"a":' + b"[" * 63 + b"]" * 63 + b"}\n"
    assert rows_of(write(tmp_path, line))[0].problem is None


def test_j24_a_duplicate_key_is_named(tmp_path: Path):
    assert problem_of(tmp_path, b'{"a":[{"b":1,"c":2,"b":3}]}') == ("duplicate_key", "'b'")


@pytest.mark.parametrize("text", ["a\0b", "\u2028\u0085\v\f", "\u202e\u200b" + "e\u0301" * 10_000])
def test_j14_j16_j18_odd_characters_are_text(tmp_path: Path, text: str):
    data = json.dumps({"a": text}, ensure_ascii="\0" in text or "\v" in text).encode()
    raw = data.replace(b"\\u2028", "\u2028".encode()).replace(b"\\u0085", "\u0085".encode())
    rows = rows_of(write(tmp_path, raw + b"\n"))
    assert [row.value for row in rows] == [{"a": text}]


def test_j20_a_large_integer_is_no_problem_of_json(tmp_path: Path):
    assert rows_of(write(tmp_path, b'{"id":%d}\n' % 2**63))[0].value == {"id": 2**63}


TEXTS = st.text(st.characters(exclude_categories=["Cs"]))
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(TEXTS, VALUES, max_size=3), st.booleans())
def test_every_json_object_is_read_back(value: dict[str, object], ascii_only: bool):
    assert parse_object(json.dumps(value, ensure_ascii=ascii_only).encode()) == value


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(TEXTS, VALUES, max_size=3), st.data())
def test_a_damaged_line_is_a_problem_or_an_object_and_never_a_crash(
    value: dict[str, object], data: st.DataObject
):
    line = bytearray(json.dumps(value).encode())
    for _ in range(data.draw(st.integers(1, 4))):
        line[data.draw(st.integers(0, len(line) - 1))] = data.draw(st.integers(0, 255))
    try:
        found: object = parse_object(bytes(line))
    except RowProblem as problem:
        found = problem
    assert isinstance(found, dict) or found.detail.isprintable()


MEASURE = """
import resource, sys
from tokensieve.ingest import RowReader, take_inventory
from tokensieve.settings import S3Settings
warm = take_inventory([sys.argv[2]], "train", S3Settings())
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
inventory = take_inventory([sys.argv[1]], "train", S3Settings())
with RowReader(inventory.files) as reader:
    rows = [row for shard in inventory.shards for piece in shard for row in reader.rows(piece)]
grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
print([row.problem and row.problem.reason for row in rows], rows[1].num_bytes, len(rows[1].raw))
print(grown)
"""


@pytest.mark.parametrize("form", ["plain", "gzip"])
def test_j23_a_line_of_300_mib_is_quarantined_without_being_held(tmp_path: Path, form: str):
    path = tmp_path / "long.jsonl"
    chunks = [GOOD + b'{"a":"', *[b"x" * (1 << 20)] * 300, b'"}\n' + GOOD]
    packer = zlib.compressobj(1, wbits=31)
    with path.open("wb") as file:
        for chunk in chunks:
            file.write(chunk if form == "plain" else packer.compress(chunk))
        if form == "gzip":
            file.write(packer.flush())
    small = write(tmp_path, GOOD)
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, path, small], capture_output=True, text=True, check=True
    )
    found, grown = done.stdout.splitlines()
    assert found == f"[None, 'line_too_long', None] {(300 << 20) + 9} {64 << 10}"
    assert int(grown) < (16 + 50) << 10  # KiB


def test_a_line_of_just_the_limit_is_read_and_one_byte_more_is_not(tmp_path: Path):
    fits = b'{"a":"' + b"x" * ((16 << 20) - 8) + b'"}'
    longer = fits.replace(b"x", b"xx", 1)
    rows = rows_of(write(tmp_path, fits + b"\n" + longer + b"\n" + fits))
    assert [row.problem and row.problem.reason for row in rows] == [None, "line_too_long", None]


# --- pieces and shards


@pytest.mark.parametrize("compress", [bytes, gzip.compress, zstd])
def test_shards_hold_every_line_once_and_in_order(tmp_path: Path, compress):
    lines = [b'{"n":%d,"text":"%s"}\n' % (n, b"x" * (n % 700)) for n in range(4000)]
    lines[7:7] = [b"\n", b"oops\n"]
    path = write(tmp_path, compress(b"".join(lines)))
    inventory = inventory_of(path)
    rows = rows_of(path)
    assert len(inventory.shards) == 11
    assert (inventory.num_rows, inventory.num_blank) == ((4001,), (1,))
    assert [row.line for row in rows] == list(range(1, 4003))
    assert [row.raw + b"\n" for row in rows] == lines
    starts = [0]
    for line in lines:
        starts.append(starts[-1] + len(line))
    assert [row.byte_offset for row in rows] == starts[:-1]


def test_shards_are_about_a_sixteenth_of_the_drop(tmp_path: Path):
    paths = [write(tmp_path, b'{"n":%d}\n' % n * 50_000, f"{n}.jsonl") for n in range(4, 10)]
    inventory = inventory_of(*paths)
    sizes = [sum(piece.end - piece.start for piece in shard) for shard in inventory.shards]
    sixteenth = sum(sizes) // 16
    assert sum(sizes) == 6 * 400_000
    assert all(sixteenth / 3 < size <= sixteenth + 8 for size in sizes)


def test_the_inventory_is_a_function_of_the_files_alone(tmp_path: Path):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        write(tmp_path / name, GOOD * 9000)
        write(tmp_path / name, GOOD * 10, "more.jsonl")
    one, two = (
        take_inventory([str(tmp_path / name)], "train", S3Settings()) for name in ("one", "two")
    )
    assert one.shards == two.shards
    assert [file.name for file in one.files] == ["drop.jsonl", "more.jsonl"]
    assert [(f.name, f.source, f.sha256) for f in one.files] == [
        (f.name, f.source, f.sha256) for f in two.files
    ]


def test_files_of_the_same_name_are_told_apart_by_their_folders(tmp_path: Path):
    for week in ("01", "02"):
        (tmp_path / week / "en").mkdir(parents=True)
    paths = [
        write(tmp_path / "01" / "en", GOOD, "v1.5-train.jsonl.gz"),
        write(tmp_path / "02" / "en", GOOD * 2, "v1.5-train.jsonl.gz"),
        write(tmp_path / "01", GOOD * 3, "other.jsonl"),
    ]
    files = inventory_of(*paths).files
    assert [file.name for file in files] == [
        "01/en/v1.5-train.jsonl.gz",
        "02/en/v1.5-train.jsonl.gz",
        "other.jsonl",
    ]
    assert [file.source for file in files] == ["01/en/v1.5-train", "02/en/v1.5-train", "other"]


def test_files_that_differ_in_their_extensions_alone_are_different_sources(tmp_path: Path):
    (tmp_path / "x").mkdir()
    paths = [
        write(tmp_path, GOOD, "train.jsonl"),
        write(tmp_path, gzip.compress(GOOD * 2), "train.jsonl.gz"),
        write(tmp_path / "x", GOOD * 3, "train.txt"),
    ]
    files = inventory_of(*paths).files
    assert [file.source for file in files] == ["train.jsonl", "train.jsonl.gz", "train.txt"]


@pytest.mark.parametrize("compress", [bytes, gzip.compress])
def test_j43_a_file_changed_after_planning_is_refused(tmp_path: Path, compress):
    path = write(tmp_path, compress(GOOD * 20_000))
    inventory = inventory_of(path)
    Path(path).write_bytes(compress((GOOD * 20_000)[:-5] + b'!"}}\n'))
    pieces = [piece for shard in inventory.shards for piece in shard]
    assert len(list(read_rows(inventory.files[0], pieces[0]))) > 1000  # its bytes are as planned
    with pytest.raises(InputError, match="changed since the run was planned"):
        list(read_rows(inventory.files[0], pieces[-1]))


def test_j43_a_shorter_file_is_refused(tmp_path: Path):
    path = write(tmp_path, GOOD * 100)
    inventory = inventory_of(path)
    Path(path).write_bytes(GOOD * 99)
    with pytest.raises(InputError, match="changed since the run was planned"):
        list(read_rows(inventory.files[0], inventory.shards[0][0]))


def test_pieces_may_be_read_in_any_order(tmp_path: Path):
    path = write(tmp_path, gzip.compress(b"".join(b'{"n":%d}\n' % n for n in range(40_000))))
    inventory = inventory_of(path)
    pieces = [piece for shard in inventory.shards for piece in shard]
    with RowReader(inventory.files) as reader:
        forwards = [list(reader.rows(piece)) for piece in pieces]
        backwards = [list(reader.rows(piece)) for piece in reversed(pieces)]
    assert len(pieces) > 3
    assert backwards[::-1] == forwards


def test_a_file_is_hashed_whole_even_if_its_end_is_not_read():
    file = HashedFile(io.BytesIO(GOOD))
    assert file.read(3) == GOOD[:3]
    assert file.finish() == (len(GOOD), hashlib.sha256(GOOD).hexdigest())


# --- folders


def test_a_folder_gives_its_files_by_name_and_says_what_else_is_there(tmp_path: Path):
    write(tmp_path, GOOD, "b.jsonl")
    write(tmp_path, gzip.compress(GOOD * 2), "a.jsonl.gz")
    write(tmp_path, b"hello", "README.md")
    write(tmp_path, b"hidden", ".DS_Store")
    inventory = inventory_of(str(tmp_path))
    assert [file.name for file in inventory.files] == ["a.jsonl.gz", "b.jsonl"]
    assert inventory.warnings == (f"{tmp_path}: 1 other entries are not read: 'README.md'",)


def test_a_folder_without_data_is_refused(tmp_path: Path):
    with pytest.raises(InputError, match=r"holds no file named \*\.jsonl"):
        inventory_of(str(tmp_path))


@pytest.mark.parametrize("name", ["a[1].jsonl", "x*.jsonl", "%2e%2e.jsonl", "-rf.jsonl"])
def test_p17_only_the_file_of_exactly_this_name_is_read(tmp_path: Path, name: str):
    write(tmp_path, b'{"other":1}\n', "a1.jsonl")
    write(tmp_path, b'{"other":1}\n', "xy.jsonl")
    assert rows_of(write(tmp_path, GOOD, name))[0].value == {"prompt": "q", "completion": "a"}


@pytest.mark.parametrize(
    "name", ["two\nlines.jsonl", "\x1b[2J.jsonl", "\u202elnosj.jsonl", "\udcff.jsonl"]
)
def test_p17_a_name_that_cannot_be_shown_is_refused(tmp_path: Path, name: str):
    write(tmp_path, GOOD, name)
    with pytest.raises(InputError, match="has odd characters in it") as found:
        inventory_of(str(tmp_path))
    assert str(found.value).isprintable()
