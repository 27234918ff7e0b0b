"""Rows -> a corpus shard: none is lost, each is counted, and duplicates are found.

The names begin with the row of the catalogue of bad inputs that they hold to.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tokensieve.artifact import summed
from tokensieve.chat import Encoded, Encoder
from tokensieve.errors import InputError, QuarantineError
from tokensieve.ingest import RowReader, take_inventory
from tokensieve.ingest.duplicates import (
    CONTENT,
    Duplicates,
    find_duplicates,
    find_seen,
    num_shared,
)
from tokensieve.ingest.quarantine import REJECTED_SCHEMA, check_quarantine, quarantine_lines
from tokensieve.ingest.records import Record, RowProblem
from tokensieve.ingest.shard import BuiltShard, build_shard
from tokensieve.models import load_tokenizer
from tokensieve.settings import S3Settings
from tokensieve.templates import load_template

SHARED = Path(__file__).resolve().parents[2] / "../shared"


class ByteEncoder:
    """One token per byte, at most 8 per sample; the answer's bytes are the response."""

    def encode(self, records: Sequence[Record]) -> list[Encoded | RowProblem]:
        return [self._encode(record) for record in records]

    def _encode(self, record: Record) -> Encoded | RowProblem:
        if not record.messages:
            return RowProblem("no_target", "no assistant message", "messages", "skipped")
        texts = [message.content.encode() for message in record.messages]
        roles = [message.role == "assistant" for message in record.messages]
        response_T = np.repeat(roles, list(map(len, texts)))
        ids = np.frombuffer(b"".join(texts), np.uint8).astype(np.int32)
        turn_T = np.zeros(min(len(ids), 8), np.int16)
        return Encoded(ids[:8], response_T[:8], turn_T, max(0, len(ids) - 8), 0)


def write(directory: Path, *rows: Any, name: str = "drop.jsonl") -> str:
    """Write rows as JSON, and bytes as they are."""
    lines = [row if isinstance(row, bytes) else json.dumps(row).encode() for row in rows]
    (directory / name).write_bytes(b"\n".join(lines) + b"\n")
    return str(directory / name)


def build(*paths: str, encoder: Any = None) -> list[BuiltShard]:
    inventory = take_inventory(paths, "train", S3Settings())
    with RowReader(inventory.files) as reader:
        return [build_shard(reader, p, encoder or ByteEncoder()) for p in inventory.shards]


def duplicates_of(*paths: str) -> Duplicates:
    shards = build(*paths)
    return find_duplicates(
        [each.rows for each in shards], take_inventory(paths, "train", S3Settings()).files
    )


def row(prompt: str = "ab", completion: str = "cde", **fields: Any) -> dict[str, Any]:
    return {"prompt": prompt, "completion": completion} | fields


def test_rows_become_samples_in_order_and_everything_is_counted(tmp_path: Path):
    path = write(
        tmp_path,
        row("ab", "cde", id="one", source="web"),
        b"  ",
        row("abcd", "efghij", note=1, more=2),
        {"messages": []},
        b"{oops",
        {"prompt": "x"},
    )
    [built] = build(path)
    shard = built.shard
    assert shard.sample_ids[0] == "one"
    assert shard.sources == ["web", "drop"]
    assert shard.offsets_N1.tolist() == [0, 5, 13]
    assert bytes(shard.input_ids_T.tolist()) == b"abcdeabcdefgh"
    assert shard.response_T.tolist() == [0, 0, 1, 1, 1, 0, 0, 0, 0, 1, 1, 1, 1]
    assert [a.dtype.name for a in (shard.input_ids_T, shard.response_T, shard.turn_T)] == [
        "int32",
        "bool",
        "int16",
    ]
    assert built.counts == {
        "blank": 1,
        "ignored_fields": 2,
        "quarantined": 2,
        "quarantined.json_syntax": 1,
        "quarantined.missing_field": 1,
        "response_tokens": 7,
        "rows": 5,
        "scored": 2,
        "skipped": 1,
        "skipped.no_target": 1,
        "specials_as_text": 0,
        "tokens": 13,
        "truncated_tokens": 2,
    }


def test_j34_a_row_without_an_id_is_named_by_its_file_and_line(tmp_path: Path):
    path = write(tmp_path, b"", row(), row())
    sha256 = take_inventory([path], "train", S3Settings()).files[0].sha256
    assert build(path)[0].shard.sample_ids == [f"{sha256[:12]}-2", f"{sha256[:12]}-3"]


def test_a_rejected_row_is_kept_with_its_place_and_its_bytes(tmp_path: Path):
    path = write(tmp_path, row(), b'{"prompt": "q"}', {"messages": []})
    [built] = build(path)
    assert built.rejected.schema == REJECTED_SCHEMA
    file = take_inventory([path], "train", S3Settings()).files[0]
    first = len(json.dumps(row())) + 1
    assert built.rejected.to_pylist() == [
        {
            "outcome": "quarantined",
            "file": "drop.jsonl",
            "file_sha256": file.sha256,
            "source": "drop",
            "line": 2,
            "byte_offset": first,
            "reason": "missing_field",
            "field": "completion",
            "detail": "this field is required",
            "raw": b'{"prompt": "q"}',
            "raw_bytes": 16,
        },
        {
            "outcome": "skipped",
            "file": "drop.jsonl",
            "file_sha256": file.sha256,
            "source": "drop",
            "line": 3,
            "byte_offset": first + 16,
            "reason": "no_target",
            "field": "messages",
            "detail": "no assistant message",
            "raw": b'{"messages": []}',
            "raw_bytes": 17,
        },
    ]


def test_of_a_long_rejected_row_the_beginning_is_kept(tmp_path: Path):
    [built] = build(write(tmp_path, row(), b'{"a":"' + b"x" * 100_000 + b'"}'))
    [rejected] = built.rejected.to_pylist()
    assert (len(rejected["raw"]), rejected["raw_bytes"]) == (64 << 10, 100_009)


def test_p11_a_null_in_a_required_column_is_quarantined_with_the_row_as_json(tmp_path: Path):
    path = tmp_path / "drop.parquet"
    table = pa.table({"prompt": ["q", "r"], "completion": ["a", None], "extra": [1, 2]})
    pq.write_table(table, path)
    [built] = build(str(path))
    [rejected] = built.rejected.to_pylist()
    assert (rejected["line"], rejected["byte_offset"]) == (2, None)
    assert (rejected["reason"], rejected["field"]) == ("missing_field", "completion")
    assert rejected["raw"] == b'{"prompt": "r", "completion": null}'
    assert built.counts["ignored_fields"] == 1  # of the one sample


def test_a_shard_without_a_sample_is_empty_and_not_missing(tmp_path: Path):
    [built] = build(write(tmp_path, b"oops"))
    assert built.shard.to_table().num_rows == 0
    assert built.rows.num_rows == 0
    assert built.counts["quarantined"] == built.counts["rows"] == 1


def test_the_same_pieces_give_the_same_tables(tmp_path: Path):
    path = write(tmp_path, row(), b"oops", row("x"))
    [one], [two] = build(path), build(path)
    assert one.shard.to_table().equals(two.shard.to_table())
    assert one.rejected.equals(two.rejected)
    assert one.rows.equals(two.rows)


def test_an_encoder_that_loses_a_row_is_noticed(tmp_path: Path):
    class Loser(ByteEncoder):
        def encode(self, records: Sequence[Record]) -> list[Encoded | RowProblem]:
            return super().encode(records[1:])

    with pytest.raises(AssertionError, match="every record"):
        build(write(tmp_path, row(), row("x")), encoder=Loser())


# --- duplicates


def test_j32_the_same_id_and_content_is_skipped_in_any_shard(tmp_path: Path):
    filler = [row(f"{n}", "x" * 200) for n in range(1500)]
    one = write(tmp_path, row(id="a"), row(id="b"), row(id="a", source="other"), *filler)
    two = write(tmp_path, row(id="c"), row(id="b"), name="more.jsonl")
    shards = build(one, two)
    assert len(shards) == 3
    last = shards[2].shard.sample_ids.index("c")
    found = duplicates_of(one, two)
    assert found.rows == {"0": [2], "2": [last + 1]}
    assert found.num_rows == 2
    assert found.warnings == ()


def test_j32_duplicates_are_told_by_shard_and_row(tmp_path: Path):
    path = write(tmp_path, row(id="a"), row(id="b"))
    [built] = build(path)
    files = take_inventory([path], "train", S3Settings()).files
    assert find_duplicates([built.rows, built.rows], files).rows == {"1": [0, 1]}


def test_j33_the_same_id_with_other_content_is_refused_with_both_places(tmp_path: Path):
    one = write(tmp_path, row(id=7), row(id="8"))
    two = write(tmp_path, row(id="x"), row(id="7", completion="other"), name="more.jsonl")
    with pytest.raises(InputError, match=f"^{two}:2:id: is the id of {one}:1 too, but"):
        duplicates_of(one, two)


def rows_of(*paths: str) -> list[pa.Table]:
    return [each.rows for each in build(*paths)]


def test_what_an_earlier_corpus_says_is_seen_whatever_its_id(tmp_path: Path):
    old = [write(tmp_path, row("one", id="x"), row("two"), name="old.jsonl")]
    older = [write(tmp_path, row("three"), name="older.jsonl")]
    new = write(tmp_path, row("three"), row("four"), row("two", id="y"), row("four"))

    seen = find_seen(rows_of(new), [*rows_of(*old), *rows_of(*older)])

    assert seen.tolist() == [True, False, True, False]
    assert find_seen(rows_of(new), []).tolist() == [False] * 4


def test_what_is_seen_is_known_by_what_samples_say_alone(tmp_path: Path):
    [old] = rows_of(write(tmp_path, row("one", id="x"), row("two"), name="old.jsonl"))
    [new] = rows_of(write(tmp_path, row("three"), row("two", id="y")))

    assert CONTENT == ["content_hash"]
    seen = find_seen([new.select(CONTENT)], [old.select(CONTENT)])

    assert seen.tolist() == [False, True]


def test_what_was_seen_is_skipped_with_the_duplicates_and_counted(tmp_path: Path):
    path = write(tmp_path, row("one", id="a"), row("one", id="a"), row("two"), row("three"))
    rows = [*rows_of(path), *rows_of(path)]
    duplicates = Duplicates({"0": [1], "1": [0]}, ("a warning",))
    seen_N = np.array([False, True, True, False] + [False] * 4)

    assert duplicates.with_seen(rows, seen_N) == Duplicates(
        {"0": [1, 2], "1": [0]}, ("a warning",), num_seen=2
    )


def test_rows_without_ids_are_no_duplicates(tmp_path: Path):
    assert duplicates_of(write(tmp_path, row(), row(), row())).rows == {}


def test_j36_ids_that_only_look_the_same_are_two_samples_and_a_warning(tmp_path: Path):
    path = write(tmp_path, row(id="caf\u00e9"), row(id="x"), row("other", id="cafe\u0301"))
    found = duplicates_of(path)
    assert found.rows == {}
    assert len(found.warnings) == 1
    assert found.warnings[0].startswith(f"{path}:3:id: looks like the id of {path}:1")


def test_shards_without_samples_have_no_duplicates(tmp_path: Path):
    assert duplicates_of(write(tmp_path, b"oops")) == Duplicates({}, ())


# --- quarantine


def test_the_first_twenty_problems_per_reason_are_listed_and_all_are_counted(tmp_path: Path):
    path = write(tmp_path, row(), *[b"oops"] * 23, {"prompt": "q"}, {"messages": []})
    lines = quarantine_lines(each.rejected for each in build(path))
    assert len(lines) == 22
    assert lines[0] == "drop.jsonl:2: json_syntax (Expecting value at column 1: 'oops')"
    assert lines[19:21] == [
        "drop.jsonl:21: json_syntax (Expecting value at column 1: 'oops')",
        "json_syntax: 3 more rows",
    ]
    assert lines[21] == "drop.jsonl:25:completion: missing_field (this field is required)"


def test_a_listed_problem_cannot_move_a_cursor(tmp_path: Path):
    path = write(tmp_path, b'{"\\u001b[2J":1,"\\u001b[2J":1}', b'{"id":"\\u202e"}', row(role=1))
    lines = quarantine_lines(each.rejected for each in build(path))
    assert len(lines) == 2
    assert all(line.isprintable() for line in lines)


@pytest.mark.parametrize(("bad", "stops"), [(0, False), (1, False), (2, True)])
def test_j50_more_bad_rows_than_allowed_stop_the_run(bad: int, stops: bool):
    counts = {"rows": 100, "scored": 100 - bad, "quarantined": bad, "skipped": 0}
    counts["quarantined.bad_utf8"] = bad
    if stops:
        with pytest.raises(QuarantineError, match=r"2 of 100 rows \(2.00%\).*1.00% are allowed"):
            check_quarantine(counts, 0.01)
    else:
        check_quarantine(counts, 0.01)


def test_j50_a_drop_of_bad_rows_alone_always_stops(tmp_path: Path):
    counts = summed(each.counts for each in build(write(tmp_path, b"oops", {"messages": []})))
    with pytest.raises(QuarantineError, match=r"none of them became a sample.*1 quarantined.json"):
        check_quarantine(counts, 1.0)


# --- real data


@pytest.mark.skipif(not SHARED.exists(), reason="needs the shared data and models")
def test_real_data_with_a_real_tokenizer_loses_nothing(tmp_path: Path):
    lines = (SHARED / "data/gsm8k/sft.jsonl").read_bytes().splitlines(keepends=True)
    (tmp_path / "sft.jsonl").write_bytes(b"".join(lines[:500]) + b"oops\n")
    tokenizer = load_tokenizer(str(SHARED / "models/base-6m"))
    encoder = Encoder(tokenizer, load_template("tulu", tokenizer), max_length=2048)
    built = build(
        str(tmp_path / "sft.jsonl"), str(SHARED / "data/gsm8k/test.jsonl"), encoder=encoder
    )
    counts = summed(each.counts for each in built)
    assert (counts["rows"], counts["scored"], counts["quarantined"]) == (1001, 1000, 1)
    assert counts["tokens"] == sum(len(each.shard.input_ids_T) for each in built)
    assert 0 < counts["response_tokens"] < counts["tokens"]


def test_samples_that_say_the_same_are_shared_whatever_their_ids(tmp_path: Path):
    ours = write(tmp_path, row("ab", "cde", id="one"), row("ab", "fgh"), row("xy", "cde"))
    theirs = write(tmp_path, row("ab", "cde", id="two"), row("ab", "fgx"), name="theirs.jsonl")
    (mine, yours) = ([each.rows for each in build(path)] for path in (ours, theirs))

    assert num_shared(mine, yours) == 1
    assert num_shared(mine, mine) == 3
