import csv
import io
import json
import resource
import threading
from decimal import Decimal

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sql import connect_published
from sql.index import update_index
from sql.named_queries import parsed_query
from sql.query import _FLAGS, QUERY_SETTINGS, QueryResult, query
from tasks.cells import MAX_CELL
from tasks.query import TABLE_ROWS, answer, format_result, write_parquet
from tests.tiny_workspace import Sample, finish_run, make_corpus, make_selection
from tokensieve.artifact import Artifact
from tokensieve.errors import DamagedError, InputError, ResourceError, SettingsError
from tokensieve.storage import LocalStorage


@pytest.fixture(scope="module")
def storage(tmp_path_factory):
    storage = LocalStorage(tmp_path_factory.mktemp("it's a workspace"))
    _fill(storage)
    return storage


def _fill(storage: LocalStorage) -> Artifact:
    corpus = make_corpus(storage, [[Sample("s0", "wiki", (1, 2, 3)), Sample("s1", "web", (1, 2))]])
    finish_run(storage, "first", [(corpus, {}, make_selection(corpus, [[1.0, 0.0, 1.0]]))])
    update_index(storage)
    return corpus


def ask(storage, statement, max_rows=100, max_seconds=30.0) -> QueryResult:
    return query(storage, statement, max_rows=max_rows, max_seconds=max_seconds)


def test_a_query_reads_the_tables_and_the_artifacts_through_the_views(storage):
    assert ask(storage, "SELECT run, kept_tokens FROM round_stats").table.to_pylist() == [
        {"run": "first", "kept_tokens": 2}
    ]
    tokens = ask(storage, "SELECT sample_id, position, text, weight FROM tokens ORDER BY ALL;")
    assert tokens.columns == ["sample_id", "position", "text", "weight"]
    assert tokens.table.to_pydict() == {
        "sample_id": ["s0", "s0", "s1"],
        "position": [1, 2, 1],
        "text": ["\x00", "'; DROP TABLE rounds; --", "\x00"],
        "weight": [1.0, 0.0, 1.0],
    }


@pytest.mark.parametrize(
    "statement",
    [
        "FROM rounds",
        "VALUES (1)",
        "DESCRIBE tokens",
        "SHOW TABLES",
        "SUMMARIZE rounds",
        "EXPLAIN SELECT * FROM tokens",
        "EXPLAIN ANALYZE SELECT * FROM tokens",
        "explain (ANALYZE, FORMAT json) FROM tokens",
        "EXPLAIN (SELECT 1)",
        "(SELECT 1) UNION ALL (SELECT 2)",
        "-- why\nSELECT 1;",
    ],
)
def test_every_statement_that_reads_is_answered(storage, statement):
    assert ask(storage, statement).table.num_rows >= 1


def test_more_rows_than_asked_for_are_cut_and_said_so(storage):
    cut = ask(storage, "SELECT i FROM range(100000000000) t(i)", max_rows=3)
    exact = ask(storage, "SELECT i FROM range(3) t(i)", max_rows=3)

    assert (cut.table.num_rows, cut.truncated) == (3, True)
    assert (exact.table.num_rows, exact.truncated) == (3, False)


def test_the_cap_keeps_the_order_that_was_asked_for(storage):
    result = ask(storage, "SELECT i FROM range(1000) t(i) ORDER BY i DESC", max_rows=2)

    assert result.table["i"].to_pylist() == [999, 998]


FORBIDDEN = [
    "SELECT * FROM read_text('/etc/hostname')",
    "SELECT * FROM read_text('{root}/corpora/../runs/first/RUN.json')",
    "SELECT * FROM read_text('{root}/index/../../../../../../../../etc/hostname')",
    "SELECT * FROM read_blob('/proc/self/environ')",
    "SELECT * FROM read_csv('/etc/passwd')",
    "SELECT * FROM sniff_csv('/etc/passwd')",
    "SELECT * FROM read_json_auto('/etc/passwd')",
    "SELECT * FROM read_parquet('/tmp/*.parquet')",
    "SELECT * FROM '/etc/passwd'",
    "SELECT * FROM glob('/etc/*')",
    "SELECT * FROM glob('{root}/*')",
    "SELECT * FROM read_csv('https://example.com/a.csv')",
    "SELECT * FROM 's3://bucket/a.parquet'",
    "SELECT * FROM sqlite_scan('{root}/x', 'y')",
    "SELECT * FROM python_variable",
    "SELECT getenv('HOME')",
    "COPY (SELECT 1) TO '{root}/corpora/evil.csv'",
    "COPY (SELECT 1) TO '/tmp/tokensieve-evil.csv'",
    "EXPLAIN ANALYZE COPY (SELECT 1) TO '{root}/corpora/evil.csv'",
    "/**/ EXPLAIN ANALYZE COPY (SELECT 1) TO '{root}/corpora/evil.csv'",
    "EXPLAIN (ANALYZE) COPY (SELECT 1) TO '{root}/corpora/evil.csv'",
    "/* EXPLAIN */ EXPLAIN ANALYZE COPY (SELECT 1) TO '{root}/corpora/evil.csv'",
    "EXPORT DATABASE '{root}/corpora/evil'",
    "IMPORT DATABASE '{root}/corpora/evil'",
    "ATTACH '{root}/corpora/evil.duckdb'",
    "DETACH tokensieve",
    "USE memory",
    "INSTALL httpfs",
    "LOAD httpfs",
    "LOAD '/tmp/evil.so'",
    "SET threads = 8",
    "SET enable_external_access = true",
    "RESET lock_configuration",
    "SET VARIABLE x = 1",
    "PRAGMA database_list",
    "CALL enable_logging()",
    "CHECKPOINT",
    "CREATE TEMP TABLE t AS SELECT 1",
    "CREATE MACRO f() AS 1",
    "CREATE SECRET s (TYPE s3)",
    "DROP TABLE rounds",
    "DELETE FROM rounds",
    "INSERT INTO rounds SELECT * FROM rounds",
    "UPDATE meta SET workspace = 'x'",
    "WITH gone AS (DELETE FROM rounds RETURNING *) SELECT * FROM gone",
    "EXPLAIN ANALYZE WITH gone AS (DELETE FROM rounds RETURNING *) SELECT * FROM gone",
    "SELECT * FROM query('COPY rounds TO ''/tmp/tokensieve-evil.csv''')",
    "PREPARE p AS SELECT 1",
    "BEGIN TRANSACTION",
    "SELECT 1; DROP TABLE rounds",
]


@pytest.mark.parametrize("statement", FORBIDDEN)
def test_nothing_but_reading_the_index_and_its_artifacts_is_possible(storage, statement):
    python_variable = pa.table({"a": [1]})
    before = sorted(path for path in storage.root.rglob("*"))

    with pytest.raises(SettingsError, match="the query"):
        ask(storage, statement.format(root=str(storage.root).replace("'", "''")))

    assert python_variable.num_rows == 1
    assert sorted(path for path in storage.root.rglob("*")) == before
    assert ask(storage, "SELECT count(*) AS n FROM rounds").table["n"].to_pylist() == [1]


def test_a_duckdb_that_does_not_take_the_lock_down_answers_nothing(storage, monkeypatch):
    monkeypatch.setitem(_FLAGS, "lock_configuration", "false")

    with pytest.raises(SettingsError, match="did not take"):
        ask(storage, "SELECT 1")


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ("", "holds no statements"),
        ("-- only a comment", "holds no statements"),
        ("SELECT 1; SELECT 2", "holds 2 statements"),
        ("SELECT '\udcff'", "is not UTF-8"),
        ("INSTALL httpfs", "LOAD is refused"),
        ("SET threads = 8", "SET is refused"),
        ("EXPLAIN ANALYZE COPY t TO 'x'", "COPY is refused"),
        ("SELEC 1", 'the query:1:1: syntax error at or near "SELEC"'),
        ("SELECT 1\nFROM rounds WHERE", "the query:2:13: syntax error"),
        ("SELECT\n  'é', roundd\nFROM rounds", 'the query:2:8: .*"roundd" not found.*"round"'),
        ("SELECT * FROM round_stat", 'the query:1:15: .*round_stat.*Did you mean "round_stats"'),
        ("EXPLAIN SELECT nothing FROM tokens", "the query:1:16: .*nothing"),
        ("SELECT $name", "Values were not provided.*name"),
        ("SELECT CAST('x' AS INT)", "the query: Could not convert string 'x'"),
        ("SELECT CAST(run AS INT) FROM rounds", "Could not convert string 'first'"),
        ("SELECT error('a\n{b')", "the query: a {b"),
    ],
)
def test_a_wrong_statement_is_answered_with_its_place_and_a_suggestion(storage, statement, message):
    with pytest.raises(SettingsError, match=message):
        ask(storage, statement)


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT count(*) FROM range(10000000000) a, range(10000000000) b",
        "WITH RECURSIVE x AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM x) SELECT max(i) FROM x",
    ],
)
def test_a_query_without_end_is_stopped_at_the_time_limit(storage, statement):
    with pytest.raises(ResourceError, match=r"stopped after 0\.3 s"):
        ask(storage, statement, max_seconds=0.3)


def test_a_query_beyond_the_memory_limit_says_so(storage, monkeypatch):
    monkeypatch.setitem(QUERY_SETTINGS, "memory_limit", "100MB")

    with pytest.raises(ResourceError, match="more than 100MB of memory"):
        ask(storage, "SELECT list(i) FROM range(100000000) t(i)")


def test_a_sort_beyond_the_memory_limit_spills_and_leaves_nothing_behind(
    storage, monkeypatch, tmp_path
):
    monkeypatch.setitem(QUERY_SETTINGS, "memory_limit", "60MB")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    result = ask(
        storage,
        "SELECT max(place) AS n FROM (SELECT row_number() OVER (ORDER BY hash(i)) AS place"
        " FROM range(5000000) t(i))",
    )

    assert result.table["n"].to_pylist() == [5_000_000]
    assert list(tmp_path.iterdir()) == []


SORT = "SELECT max(h) FROM (SELECT hash(i) AS h, i FROM range(20000000) t(i) ORDER BY h OFFSET 5)"


def test_a_query_that_spills_beyond_the_limit_is_stopped(storage, monkeypatch, tmp_path):
    monkeypatch.setitem(QUERY_SETTINGS, "memory_limit", "60MB")
    monkeypatch.setattr("sql.limits.MAX_SPILLED_BYTES", 10_000_000)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    with pytest.raises(ResourceError, match="did not fit into memory"):
        ask(storage, SORT)

    assert list(tmp_path.iterdir()) == []


def test_a_disk_without_room_for_what_is_spilled_is_no_damage(storage, monkeypatch):
    monkeypatch.setitem(QUERY_SETTINGS, "memory_limit", "60MB")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000_000, before[1]))
    try:
        with pytest.raises(ResourceError, match="no room for what does not fit into memory"):
            ask(storage, SORT)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_missing_artifact_file_is_named(tmp_path):
    storage = LocalStorage(tmp_path)
    corpus = _fill(storage)
    (shard,) = storage.path(f"{corpus.key}/shards").iterdir()
    shard.unlink()

    with pytest.raises(DamagedError, match=shard.name):
        ask(storage, "FROM tokens")


def test_a_workspace_without_an_index_names_the_command_that_makes_it(tmp_path):
    with pytest.raises(InputError, match="tokensieve index"):
        ask(LocalStorage(tmp_path), "SELECT 1")


VALUES = (
    "SELECT 1 AS a, 2 AS a, '=1+1' AS formula, 'a' || chr(0) || chr(27) || '[31m' AS escape,"
    " chr(8238) || 'x' AS bidi, 170141183460469231731687303715884105727::HUGEINT AS huge,"
    " 1.50::DECIMAL(10, 2) AS price, -0.5::DOUBLE AS minus, 'nan'::DOUBLE AS nothing, NULL AS n,"
    " DATE '2026-01-02' AS day, [1, NULL] AS list, {'k': 'é'} AS struct, '\\xAA'::BLOB AS raw,"
    " true AS yes, 'line' || chr(10) || 'end' AS lines"
)


def test_json_holds_every_value_exactly_and_only_ascii(storage):
    text = format_result(ask(storage, VALUES), "json", width=80)

    assert text.isascii()
    assert json.loads(text) == [
        {
            "a": 1,
            "a_1": 2,
            "formula": "=1+1",
            "escape": "a\x00\x1b[31m",
            "bidi": "\u202ex",
            "huge": 2**127 - 1,
            "price": "1.50",
            "minus": -0.5,
            "nothing": "nan",
            "n": None,
            "day": "2026-01-02",
            "list": [1, None],
            "struct": {"k": "é"},
            "raw": "aa",
            "yes": True,
            "lines": "line\nend",
        }
    ]


def test_csv_guards_text_from_sheets_and_terminals_and_leaves_numbers_alone(storage):
    text = format_result(ask(storage, VALUES), "csv", width=80)

    assert list(csv.DictReader(io.StringIO(text))) == [
        {
            "a": "1",
            "a_1": "2",
            "formula": "'=1+1",
            "escape": "a␀␛[31m",
            "bidi": "⟨U+202E⟩x",
            "huge": str(2**127 - 1),
            "price": "1.50",
            "minus": "-0.5",
            "nothing": "nan",
            "n": "",
            "day": "2026-01-02",
            "list": "[1, null]",
            "struct": '{"k": "é"}',
            "raw": "aa",
            "yes": "true",
            "lines": "line␊end",
        }
    ]


def test_a_table_shows_what_a_terminal_would_obey(storage):
    text = format_result(
        ask(
            storage,
            "SELECT text, '[red]x[/red]' AS m, 0.123456789::DOUBLE AS x, NULL AS n FROM tokens",
        ),
        "table",
        width=120,
    )

    assert text.count("␀") == 2
    assert "[red]x[/red]" in text
    assert "0.123457" in text
    assert "NULL" in text
    assert text.endswith("rows: 3\n")
    assert all(character == "\n" or character.isprintable() for character in text)


def test_a_table_cuts_long_cells_and_says_how_many_rows_it_shows(storage):
    result = ask(storage, "SELECT repeat('x', 1000000) AS x FROM range(9)", max_rows=2)

    text = format_result(result, "table", width=1000)

    assert text.count("x" * (MAX_CELL - 1) + "…") == 2
    assert text.endswith("showing 2 of more rows\n")


WIDE = (
    "SELECT 'a long name of something' AS name, 1234567::BIGINT AS kept_tokens, 12::BIGINT"
    " AS response_tokens, 0.123456789::DOUBLE AS kept_share, 15234::INTEGER AS token_id"
    " FROM range(2)"
)


def in_lines(storage, width, max_rows=1):
    return format_result(ask(storage, WIDE, max_rows), "table", width).splitlines()


def test_a_table_groups_the_digits_of_counts_and_not_of_ids(storage):
    assert in_lines(storage, width=76) == [
        "name                      kept_tokens  response_tokens  kept_share  token_id",
        "────────────────────────────────────────────────────────────────────────────",
        "a long name of something    1,234,567               12    0.123457     15234",
        "",
        "showing 1 of more rows",
    ]


def test_a_narrow_table_folds_headings_and_cuts_texts_but_no_number(storage):
    assert in_lines(storage, width=55)[:4] == [
        "                  kept_  response_      kept_",
        "name             tokens     tokens      share  token_id",
        "───────────────────────────────────────────────────────",
        "a long name…  1,234,567         12   0.123457     15234",
    ]


def test_where_no_table_fits_a_row_stands_below_the_other(storage):
    assert in_lines(storage, width=51, max_rows=2) == [
        "row 1",
        "  name             a long name of something",
        "  kept_tokens      1,234,567",
        "  response_tokens  12",
        "  kept_share       0.123457",
        "  token_id         15234",
        "",
        "row 2",
        "  name             a long name of something",
        "  kept_tokens      1,234,567",
        "  response_tokens  12",
        "  kept_share       0.123457",
        "  token_id         15234",
        "",
        "rows: 2",
    ]


def test_an_empty_answer_is_still_an_answer_in_every_format(storage):
    result = ask(storage, "SELECT 1 AS a WHERE false")

    assert format_result(result, "json", 80) == "[]\n"
    assert format_result(result, "csv", 80) == "a\n"
    assert format_result(result, "table", 80).endswith("rows: 0\n")


def test_parquet_holds_the_answer_exactly(storage, tmp_path):
    result = ask(storage, "SELECT text, 2::HUGEINT ** 0 AS one FROM tokens ORDER BY ALL")

    write_parquet(result, tmp_path / "answer.parquet")

    assert pq.read_table(tmp_path / "answer.parquet").equals(result.table)
    assert [path.name for path in tmp_path.iterdir()] == ["answer.parquet"]


def test_a_type_that_parquet_lacks_is_named_and_the_old_file_stays(storage, tmp_path):
    path = tmp_path / "answer.parquet"
    path.write_bytes(b"old")

    with pytest.raises(SettingsError, match=r"answer\.parquet"):
        write_parquet(ask(storage, "SELECT INTERVAL 1 DAY AS i"), path)
    with pytest.raises(ResourceError, match="nowhere"):
        write_parquet(ask(storage, "SELECT 1"), tmp_path / "nowhere" / "answer.parquet")

    assert path.read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["answer.parquet"]


def test_an_answer_is_printed_or_written_whole(storage, tmp_path, capsys):
    statement = "SELECT 'é' AS a FROM range(101)"

    asked = parsed_query("the query", statement)
    answer(storage, asked, {}, "table", None)
    printed = capsys.readouterr().out
    for format in ("table", "csv", "json", "parquet"):
        answer(storage, asked, {}, format, tmp_path / f"answer.{format}")

    assert printed.endswith(f"showing {TABLE_ROWS} of more rows\n")
    assert capsys.readouterr().out == ""
    assert (tmp_path / "answer.csv").read_text(encoding="utf-8") == "a\n" + "é\n" * 101
    assert len(json.loads((tmp_path / "answer.json").read_text())) == 101
    assert pq.read_table(tmp_path / "answer.parquet").num_rows == 101
    assert sorted(path.suffix for path in tmp_path.iterdir()) == [
        ".csv",
        ".json",
        ".parquet",
        ".table",
    ]


def test_rows_that_are_left_out_of_a_file_are_said_so(storage, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("tasks.query.MAX_ROWS", 2)

    answer(storage, parsed_query("the query", "FROM range(3)"), {}, "csv", tmp_path / "answer.csv")

    assert capsys.readouterr().err == "only the first 2 rows; there are more\n"


def test_parquet_needs_a_file(storage):
    with pytest.raises(SettingsError, match="--output"):
        answer(storage, parsed_query("the query", "SELECT 1"), {}, "parquet", None)


def test_a_decimal_that_is_a_whole_number_of_128_bits_stays_a_number_in_json():
    table = pa.table({"sum": pa.array([Decimal(2**100)], pa.decimal128(38, 0))})

    assert json.loads(format_result(QueryResult(table, False), "json", 80)) == [{"sum": 2**100}]


def test_the_views_would_answer_a_plain_shell_as_well(storage):
    path = storage.path("index/tokensieve.duckdb")
    with duckdb.connect(str(path), read_only=True) as connection:
        assert connection.execute("SELECT count(*) FROM tokens").fetchone() == (3,)


def test_questions_of_one_process_share_neither_settings_nor_what_they_see(tmp_path):
    storage = LocalStorage(tmp_path)
    corpus = _fill(storage)
    question = "SELECT count(*) AS n, current_setting('threads') AS threads FROM runs"

    with connect_published(storage, {"threads": 1}) as held:
        before = held.execute(question).fetchone()
        finish_run(storage, "second", [(corpus, {}, make_selection(corpus, [[0.0, 1.0, 1.0]]))])
        update_index(storage)
        now = ask(storage, question).table
        after = held.execute(question).fetchone()

    assert (before, after) == ((1, 1), (1, 1))
    assert now.to_pylist() == [{"n": 2, "threads": 2}]


def test_a_question_that_nobody_waits_for_any_more_is_stopped(storage):
    given_up = threading.Event()
    threading.Timer(0.3, given_up.set).start()
    endless = "SELECT count(*) FROM range(10000000) a, range(10000000) b"

    with pytest.raises(ResourceError, match="was stopped because nobody waits for it"):
        query(storage, endless, max_rows=1, max_seconds=60.0, given_up=given_up)
