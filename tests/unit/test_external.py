"""Scores that somebody else made, from real Parquet files, right and wrong ones."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tasks.external import coverage_lines
from tokensieve.corpus import Shard
from tokensieve.errors import InputError
from tokensieve.external import external_column, num_unknown_samples, read_external
from tokensieve.storage import file_sha256

NAN, INF = float("nan"), float("inf")


def shard_of(**responses: Sequence[int]) -> Shard:
    """Return samples by id, each with a 1 where a token is of the response."""
    lengths = [len(response) for response in responses.values()]
    flat = [each for response in responses.values() for each in response]
    return Shard(
        sample_ids=list(responses),
        offsets_N1=np.cumsum([0, *lengths]),
        input_ids_T=np.arange(len(flat), dtype=np.int32),
        sources=["a"] * len(responses),
        response_T=np.array(flat, dtype=np.bool_),
        turn_T=np.zeros(len(flat), dtype=np.int16),
    )


def write(
    directory: Path, ids: Any, lists: Any, type: pa.DataType | None = None, **more: Any
) -> str:
    columns = {"sample_id": ids, "sum_p2": pa.array(lists, type or pa.list_(pa.float64()))}
    path = directory / "scores.parquet"
    pq.write_table(pa.table(columns | more), path)
    return str(path)


def column_of(path: str, shard: Shard) -> tuple[list[float], dict[str, int]]:
    value_T, counts = external_column(read_external(path), shard)
    assert value_T.dtype == np.float32
    return value_T.tolist(), counts


def test_a_list_has_a_number_for_every_token_or_for_every_token_of_the_response(tmp_path):
    path = write(tmp_path, ["b", "a"], [[1.0, 2.0], [0.5, 0.25, 0.125]])

    values, counts = column_of(path, shard_of(a=[0, 1, 0], b=[0, 1, 0, 1]))

    np.testing.assert_equal(values, [NAN, 0.25, NAN, NAN, 1.0, NAN, 2.0])
    assert counts == {
        "tokens": 7,
        "response_tokens": 3,
        "scored_tokens": 3,
        "non_finite_tokens": 0,
        "unscorable_tokens": 0,
        "known_samples": 2,
        "missing_samples": 0,
    }


@pytest.mark.parametrize("nothing", [None, NAN, INF, -INF, 1e39])
def test_what_is_no_finite_number_is_no_score_and_is_counted(tmp_path, nothing):
    path = write(tmp_path, ["a"], [[nothing, 2.0]])

    values, counts = column_of(path, shard_of(a=[0, 1, 1]))

    np.testing.assert_equal(values, [NAN, NAN, 2.0])
    assert (counts["scored_tokens"], counts["non_finite_tokens"]) == (1, 1)


def test_a_response_token_that_no_model_can_predict_has_no_score(tmp_path):
    path = write(tmp_path, ["a"], [[1.0, 2.0]])

    values, counts = column_of(path, shard_of(a=[1, 1]))

    np.testing.assert_equal(values, [NAN, 2.0])
    assert (counts["response_tokens"], counts["unscorable_tokens"]) == (2, 1)


def test_samples_that_file_or_corpus_lack_are_counted(tmp_path):
    path = write(tmp_path, ["x", "a", "null", "y"], [[7.0], [1.0], None, [8.0, 9.0]])
    external = read_external(path)

    value_T, counts = external_column(external, shard_of(a=[0, 1], null=[0, 1], c=[0, 1], d=[]))

    np.testing.assert_equal(value_T, [NAN, 1.0, NAN, NAN, NAN, NAN])
    assert (counts["known_samples"], counts["missing_samples"]) == (1, 3)
    assert (counts["scored_tokens"], counts["non_finite_tokens"]) == (1, 2)
    assert num_unknown_samples(external, counts) == 2


def test_a_file_of_another_corpus_is_refused_with_an_id_of_its_own(tmp_path):
    path = write(tmp_path, ["x\x1b", "y"], [[1.0], [2.0]])
    external = read_external(path)
    _, counts = external_column(external, shard_of(a=[0, 1]))

    with pytest.raises(InputError) as raised:
        num_unknown_samples(external, counts)

    assert str(raised.value) == (
        f"{path}: sample_id: none of its 2 samples is in the corpus, the first being 'x\\x1b'. "
        "Take the ids from the corpus's `samples` view."
    )


@pytest.mark.parametrize("values", [[], [1.0], [1.0, 2.0, 3.0], [1.0] * 5])
def test_a_list_of_another_length_is_refused_with_both_lengths(tmp_path, values):
    path = write(tmp_path, ["b", "a'\n"], [[1.0, 1.0], values])
    external = read_external(path)

    with pytest.raises(InputError) as raised:
        external_column(external, shard_of(**{"b": [0, 1], "a'\n": [0, 1, 0, 1]}))

    assert str(raised.value) == (
        f'{path}:2:sum_p2: sample "a\'\\n" has {len(values)} numbers, but 4 tokens, 2 of them of '
        "a response. Give one number for each, made with this tokenizer and template."
    )


def test_a_sample_without_a_response_may_have_an_empty_list(tmp_path):
    values, counts = column_of(write(tmp_path, ["a"], [[]]), shard_of(a=[0, 0]))

    np.testing.assert_equal(values, [NAN, NAN])
    assert (counts["known_samples"], counts["response_tokens"]) == (1, 0)


@pytest.mark.parametrize(
    "type",
    [
        pa.list_(pa.float16()),
        pa.list_(pa.float32()),
        pa.large_list(pa.float64()),
        pa.list_(pa.float32(), 2),
    ],
)
def test_lists_of_floats_of_any_width_and_encoding_are_read(tmp_path, type):
    path = write(tmp_path, pa.array(["a", "b", "c"]), [[0.5, None], None, [1.5, 2.0]], type)

    values, counts = column_of(path, shard_of(a=[0, 1, 1], b=[0, 1], c=[0, 1, 1]))

    np.testing.assert_equal(values, [NAN, 0.5, NAN, NAN, NAN, NAN, 1.5, 2.0])
    assert counts["missing_samples"] == 1


@pytest.mark.parametrize(
    "ids",
    [
        pa.array([7, 8]),
        pa.array(["7", "8"], pa.large_string()),
        pa.array(["7", "8"]).dictionary_encode(),
    ],
)
def test_ids_are_strings_or_integers_as_in_a_drop(tmp_path, ids):
    values, _ = column_of(write(tmp_path, ids, [[1.0], [2.0]]), shard_of(**{"8": [0, 1]}))

    np.testing.assert_equal(values, [NAN, 2.0])


def test_other_columns_are_not_looked_at_and_the_bytes_that_were_read_are_named(tmp_path):
    path = write(tmp_path, ["a"], [[1.0]], input_ids=[[1, 2]], sum_p=[0.5], text=["x"])

    external = read_external(path)

    assert (external.column, external.sha256) == ("sum_p2", file_sha256(Path(path)))
    assert external.values_V.tolist() == [1.0]


def test_many_rows_in_many_row_groups_keep_their_places(tmp_path):
    lists = [[float(n)] * (n % 3 + 1) for n in range(10_000)]
    path = tmp_path / "many.parquet"
    ids = [f"s{n}" for n in range(10_000)]
    pq.write_table(pa.table({"sample_id": ids, "x": lists}), path, row_group_size=777)
    shard = shard_of(s9999=[0, 1], s1=[0, 1, 1], s5000=[0, 1, 1, 1])

    values, _ = column_of(str(path), shard)

    np.testing.assert_equal(values, [NAN, 9999.0, NAN, 1.0, 1.0, NAN, 5000.0, 5000.0, 5000.0])


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        (["a", "b", "a"], ":3:sample_id: 'a' stands in row 1 too. Leave one."),
        (["a", "b", None], ":3:sample_id: is null. Name the sample."),
        ([1, 2, 1], ":3:sample_id: '1' stands in row 1 too. Leave one."),
    ],
)
def test_an_id_that_stands_twice_or_nowhere_is_refused_with_its_row(tmp_path, ids, message):
    path = write(tmp_path, ids, [[1.0], None, None])

    with pytest.raises(InputError) as raised:
        read_external(path)

    assert str(raised.value) == f"{path}{message}"


def test_an_id_that_is_no_utf8_is_refused_with_its_row(tmp_path):
    ids = pa.Array.from_buffers(
        pa.string(), 2, [None, pa.py_buffer(b"\0\0\0\0\1\0\0\0\2\0\0\0"), pa.py_buffer(b"a\xff")]
    )

    with pytest.raises(InputError, match=r"scores\.parquet:2:sample_id: is no UTF-8 \(.*0xff"):
        read_external(write(tmp_path, ids, [[1.0], [2.0]]))


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"id": ["a"], "x": [[1.0]]}, "has no column sample_id; found 'id, x'."),
        ({"sample_id": [1.5], "x": [[1.0]]}, "column sample_id must hold strings or integers"),
        ({"sample_id": [["a"]], "x": [[1.0]]}, "of type list<"),
        ({"sample_id": ["a"]}, "but has 0 of them ('sample_id: string')"),
        ({"sample_id": ["a"], "x": [1.0]}, "but has 0 of them ('sample_id: string, x: double')"),
        ({"sample_id": ["a"], "x": [[1]]}, "but has 0 of them ('sample_id: string, x: list<"),
        ({"sample_id": ["a"], "x": [[[1.0]]]}, "but has 0 of them ('sample_id"),
        ({"sample_id": ["a"], "x": [[1.0]], "y": [[1.0]]}, "but has 2 of them ('sample_id"),
    ],
)
def test_other_columns_than_an_id_and_one_list_of_floats_are_refused(tmp_path, table, message):
    path = tmp_path / "wrong.parquet"
    pq.write_table(pa.table(table), path)

    with pytest.raises(InputError) as raised:
        read_external(str(path))

    assert str(raised.value).startswith(f"{path}: ")
    assert message in str(raised.value)


@pytest.mark.parametrize("names", [["sample_id", "x", "x"], ["id", "sample_id", "sample_id"]])
def test_two_columns_of_one_name_are_refused(tmp_path, names):
    columns = [pa.array(["a"]), pa.array(["a"]), pa.array([[1.0]])]
    path = tmp_path / "twice.parquet"
    pq.write_table(pa.Table.from_arrays(columns, names=names), path)

    with pytest.raises(InputError, match=rf"twice\.parquet: has two columns '{names[1]}'"):
        read_external(str(path))


@pytest.mark.parametrize("data", [b"", b"PAR1", b"{}\n" * 100, b"PAR1" + b"\x99" * 99 + b"PAR1"])
def test_a_file_that_is_no_parquet_is_refused(tmp_path, data):
    path = tmp_path / "scores.parquet"
    path.write_bytes(data)

    with pytest.raises(InputError, match=r"scores\.parquet: is not a complete Parquet file"):
        read_external(str(path))


def test_a_file_that_was_cut_or_altered_is_refused(tmp_path):
    path = Path(write(tmp_path, ["a"], [[1.0] * 1000]))
    data = path.read_bytes()
    for damaged in (data[:-20], data[:40] + b"\xff" * 40 + data[80:]):
        path.write_bytes(damaged)
        with pytest.raises(
            InputError, match=r"scores\.parquet: (cannot be read|is not a complete)"
        ):
            read_external(str(path))


def test_what_is_no_file_is_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "pipe")

    for name, what in (("pipe", "is a pipe"), ("", "is a directory"), ("none", "cannot be read")):
        with pytest.raises(InputError, match=what):
            read_external(str(tmp_path / name))


def test_an_empty_file_says_nothing_of_any_sample(tmp_path):
    path = write(tmp_path, pa.array([], pa.string()), [])

    values, counts = column_of(path, shard_of(a=[0, 1]))

    np.testing.assert_equal(values, [NAN, NAN])
    assert (counts["known_samples"], counts["missing_samples"]) == (0, 1)


def test_what_a_file_does_not_cover_is_told_in_numbers():
    def told(known, missing, unknown):
        return coverage_lines({"known_samples": known, "missing_samples": missing}, unknown)

    assert told(1000, 0, 0) == []
    assert told(1, 1999, 0) == [
        "1,999 of 2,000 samples of the corpus are not in it: no token of them is a candidate, and "
        "they are not trained on"
    ]
    assert told(5, 0, 1200) == ["1,200 of its samples are not in the corpus"]
