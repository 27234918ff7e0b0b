import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pytest

from sql import connect_published, run
from sql.index import rebuild_index, update_index
from sql.published import INDEX_KEY, SCHEMA_VERSION
from sql.query import query
from sql.statements import run_given
from tests.reading import index_content as content
from tests.reading import rows
from tests.scripts import REPOSITORY, run_script
from tests.tiny_workspace import (
    Sample,
    finish_run,
    make_corpus,
    make_scores,
    make_selection,
)
from tokensieve.artifact import Artifact
from tokensieve.errors import (
    ConflictError,
    DamagedError,
    InputError,
    ResourceError,
    SettingsError,
)
from tokensieve.runs import Run
from tokensieve.storage import LocalStorage

NAN = float("nan")
HOSTILE = "'); DROP TABLE rounds; --\x00\n$run é"

SHARDS = [
    [Sample("s0", "wiki", (1, 2, 3, 4), (0, 0, 0, 1)), Sample("s1", HOSTILE, (1, 2, 2))],
    [Sample("s2", "wiki", (5, 6, 7)), Sample("s3", "wiki", (1,))],
]
BASE = [[3.0, 2.0, NAN, 1.0, 5.0], [4.0, 0.5]]
REFERENCE = [[1.0, 2.5, 1.0, 1.0, 1.0], [1.0, 1.0]]
WEIGHT = [[1.0, 0.0, 0.0, 0.0, 1.0], [-0.5, 0.0]]
UNSCORABLE = [[False, False, True, False, False], [False, False]]
INFLUENCE = np.array([2.0, -0.5, 0.0, 4.0, 3.0, -0.5])  # without the token that has no base nll


@pytest.fixture
def storage(tmp_path):
    storage = LocalStorage(tmp_path / "it's a workspace; --")
    storage.probe()
    return storage


def finished_run(storage: LocalStorage, name: str = "first", **corpus_options) -> Run:
    corpus = make_corpus(storage, SHARDS, **corpus_options)
    scores = {
        "base": make_scores(corpus, "base", BASE, non_finite=1),
        "reference": make_scores(corpus, "reference", REFERENCE),
    }
    return finish_run(storage, name, [(corpus, scores, make_selection(corpus, WEIGHT, UNSCORABLE))])


def test_a_round_is_summarised_in_numbers_that_numpy_confirms(storage):
    finished_run(storage)
    update_index(storage)

    with connect_published(storage) as connection:
        result = run(connection, "summarise_round", run="first", round=0)
        names = [column[0] for column in result.description]
        (row,) = result.fetchall()
    stats = dict(zip(names, row, strict=True))
    quantiles = np.quantile(
        INFLUENCE, [0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99], method="inverted_cdf"
    )

    assert stats == {
        "run": "first",
        "round": 0,
        "read_rows": 4,
        "quarantined_rows": 0,
        "skipped_rows": 0,
        "samples": 4,
        "empty_samples": 2,
        "train_samples": 2,
        "tokens": 11,
        "response_tokens": 7,
        "kept_tokens": 2,
        "unlearned_tokens": 1,
        "candidate_tokens": None,
        "dropped_tokens": 3,
        "unscorable_tokens": 1,
        "influence_tokens": 6,
        "non_finite_tokens": 1,
        "one_sided_tokens": 1,
        "kept_share": 2 / 7,
        "positive_share": 3 / 6,
        "mean_influence": pytest.approx(INFLUENCE.mean(), abs=1e-12),
        "influence_p01": quantiles[0],
        "influence_p05": quantiles[1],
        "influence_p25": quantiles[2],
        "influence_p50": quantiles[3],
        "influence_p75": quantiles[4],
        "influence_p95": quantiles[5],
        "influence_p99": quantiles[6],
        "mean_base_nll": pytest.approx(15.5 / 6, abs=1e-12),
        "mean_reference_nll": pytest.approx(8.5 / 7, abs=1e-12),
    }


def test_quantiles_of_many_tokens_are_those_of_numpy(storage):
    base = np.random.default_rng(1).exponential(2.0, 1000).astype(np.float32)
    corpus = make_corpus(storage, [[Sample("s", "a", (1,) * 1001)]])
    zero = make_scores(corpus, "reference", [[0.0] * 1000])
    scores = {"base": make_scores(corpus, "base", [base.tolist()]), "reference": zero}
    finish_run(storage, "many", [(corpus, scores, make_selection(corpus, [[1.0] * 1000]))])
    update_index(storage)

    found = rows(
        storage,
        "SELECT influence_p01, influence_p05, influence_p25, influence_p50, influence_p75,"
        " influence_p95, influence_p99 FROM round_stats",
    )

    shares = [0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99]
    assert list(found[0]) == np.quantile(base, shares, method="inverted_cdf").tolist()


def test_the_same_numbers_stand_by_source_turn_token_sample_and_bin(storage):
    finished_run(storage)
    update_index(storage)

    columns = "response_tokens, kept_tokens, influence_tokens, mean_influence, influence_p50"
    by_source = rows(storage, f"SELECT source, {columns} FROM source_stats ORDER BY source")
    by_turn = rows(storage, f"SELECT turn, {columns} FROM turn_stats ORDER BY turn")
    by_token = rows(
        storage,
        "SELECT token_id, text, response_tokens, kept_tokens, mean_influence"
        " FROM token_stats ORDER BY token_id",
    )
    by_sample = rows(
        storage,
        "SELECT sample_id, tokens, response_tokens, kept_tokens, mean_influence, mean_base_nll"
        " FROM sample_stats ORDER BY sample_id",
    )
    bins = rows(
        storage,
        "SELECT lower_nats, influence_tokens, kept_tokens FROM influence_histogram"
        " ORDER BY lower_nats",
    )

    assert by_source == [(HOSTILE, 2, 1, 2, 2.0, 0.0), ("wiki", 5, 1, 4, 1.0, -0.5)]
    assert by_turn == [(0, 6, 2, 6, 8 / 6, 0.0), (1, 1, 0, 0, None, None)]
    assert by_token == [
        (2, "\x00", 3, 2, 2.0),
        (3, "'; DROP TABLE rounds; --", 1, 0, -0.5),
        (4, "\u202e", 1, 0, None),
        (6, "é", 1, 0, 3.0),
        (7, "\x1b[31m", 1, 0, -0.5),
    ]
    assert by_sample == [
        ("s0", 4, 3, 1, 0.75, 2.5),
        ("s1", 3, 2, 1, 2.0, 3.0),
        ("s2", 3, 2, 0, 1.25, 2.25),
        ("s3", 1, 0, 0, None, None),
    ]
    assert bins == [(-0.5, 2, 0), (0.0, 1, 0), (2.0, 1, 1), (3.0, 1, 0), (4.0, 1, 1)]


def test_the_tokens_view_reads_every_response_token_from_the_artifacts(storage):
    finished_run(storage)
    update_index(storage)

    tokens = rows(
        storage,
        "SELECT sample_id, source, position, turn, token_id, text, base_nll, reference_nll,"
        " influence, base_entropy, weight FROM tokens WHERE run = 'first' AND round = 0"
        " ORDER BY sample_id, position",
    )

    assert tokens == [
        ("s0", "wiki", 1, 0, 2, "\x00", 3.0, 1.0, 2.0, 1.5, 1.0),
        ("s0", "wiki", 2, 0, 3, "'; DROP TABLE rounds; --", 2.0, 2.5, -0.5, 1.0, 0.0),
        ("s0", "wiki", 3, 1, 4, "\u202e", None, 1.0, None, None, 0.0),
        ("s1", HOSTILE, 1, 0, 2, "\x00", 1.0, 1.0, 0.0, 0.5, 0.0),
        ("s1", HOSTILE, 2, 0, 2, "\x00", 5.0, 1.0, 4.0, 2.5, 1.0),
        ("s2", "wiki", 1, 0, 6, "é", 4.0, 1.0, 3.0, 2.0, -0.5),
        ("s2", "wiki", 2, 0, 7, "\x1b[31m", 0.5, 1.0, -0.5, 0.25, 0.0),
    ]


def test_duplicates_are_in_no_view_and_no_statistic(storage):
    twice = [[*SHARDS[0], Sample("s0", "wiki", (1, 2, 3, 4), (0, 0, 0, 1))], SHARDS[1]]
    corpus = make_corpus(storage, twice, duplicates={"0": [2]})
    scores = {role: make_scores(corpus, role, REFERENCE) for role in ("base", "reference")}
    finish_run(storage, "twice", [(corpus, scores, make_selection(corpus, WEIGHT))])
    update_index(storage)

    counts = rows(storage, "SELECT read_rows, samples, skipped_rows, tokens FROM round_stats")

    assert counts == [(5, 4, 1, 11)]
    assert rows(storage, "SELECT sample_id FROM samples ORDER BY sample_id") == [
        ("s0",),
        ("s1",),
        ("s2",),
        ("s3",),
    ]
    assert rows(storage, "SELECT count(*) FROM tokens") == [(7,)]


def test_quarantined_rows_are_counted_and_can_be_read(storage):
    bad = {"outcome": "quarantined", "file": "a.jsonl", "line": 7, "reason": "json_syntax"}
    finished_run(storage, rejected=[bad])
    update_index(storage)

    assert rows(storage, "SELECT read_rows, samples, quarantined_rows FROM round_stats") == [
        (5, 4, 1)
    ]
    assert rows(storage, "SELECT run, role, file, line, reason FROM quarantine") == [
        ("first", "drop", "a.jsonl", 7, "json_syntax")
    ]


@pytest.mark.parametrize("roles", [(), ("base",)])
def test_a_round_without_both_scores_has_no_influence(storage, roles):
    corpus = make_corpus(storage, SHARDS)
    scores = {role: make_scores(corpus, role, REFERENCE) for role in roles}
    finish_run(storage, "random", [(corpus, scores, make_selection(corpus, WEIGHT))])
    update_index(storage)

    assert rows(
        storage,
        "SELECT mean_influence, influence_tokens, one_sided_tokens, kept_tokens,"
        " mean_base_nll IS NULL FROM round_stats",
    ) == [(None, 0, 0, 2, "base" not in roles)]
    assert rows(storage, "SELECT count(*), count(influence) FROM tokens") == [(7, 0)]


def test_a_token_scored_by_one_model_only_stops_the_index_if_nobody_accounted_for_it(storage):
    corpus = make_corpus(storage, SHARDS)
    scores = {
        "base": make_scores(corpus, "base", BASE, non_finite=0),
        "reference": make_scores(corpus, "reference", REFERENCE),
    }
    finish_run(storage, "lost", [(corpus, scores, make_selection(corpus, WEIGHT, UNSCORABLE))])

    with pytest.raises(DamagedError, match=r"one_sided_tokens.*non_finite_tokens"):
        update_index(storage)

    assert not _index(storage).exists()


def test_a_selection_whose_counts_do_not_add_up_stops_the_index(storage):
    corpus = make_corpus(storage, SHARDS)
    right = make_selection(corpus, WEIGHT)
    wrong = Artifact(storage, "selections", {**right.plan, "content": "another"})
    wrong.declare()
    for shard in (0, 1):
        receipt = right.required_receipt(shard)
        counts = {**receipt.counts, "dropped_tokens": receipt.counts["dropped_tokens"] + shard}
        wrong.publish(shard, {"shards": right.read_table(receipt, "shards")}, counts)
    wrong.commit()
    finish_run(storage, "wrong", [(corpus, {}, wrong)])

    with pytest.raises(DamagedError, match=r"response_tokens.*kept_tokens.*dropped_tokens"):
        update_index(storage)


def test_scores_in_another_order_than_their_corpus_are_refused_by_name(storage):
    corpus = make_corpus(storage, [[Sample("a", "x", (1, 2)), Sample("b", "x", (1, 2))]])
    other = make_corpus(storage, [[Sample("b", "x", (1, 2)), Sample("a", "x", (1, 2))]])
    scores = {"base": make_scores(other, "base", [[1.0, 2.0]])}
    finish_run(storage, "order", [(corpus, scores, make_selection(corpus, [[1.0, 0.0]]))])

    with pytest.raises(DamagedError, match=rf"scores/{scores['base'].id}/shards/00000-.*nll"):
        update_index(storage)


def test_a_damaged_shard_is_refused_by_name_and_the_index_stays(storage):
    finished_run(storage)
    before = Path(update_index(storage)).read_bytes()
    corpus = finished_run(storage, "second").corpora["drop"]
    shard = next(storage.path(f"corpora/{corpus}/shards").iterdir())
    shard.write_bytes(shard.read_bytes()[:-1])

    with pytest.raises(DamagedError, match=shard.name):
        update_index(storage)

    assert _index(storage).read_bytes() == before


def test_a_table_that_a_statement_has_read_is_let_go_of_before_the_commit():
    before = pa.total_allocated_bytes()
    with duckdb.connect() as connection:
        connection.begin()
        connection.execute("CREATE TABLE rounds (run VARCHAR)")
        for _ in range(3):
            given = pa.table({"run": ["x" * 100] * 10_000})
            run_given(connection, "record_round", given)
            del given

        assert connection.execute("SELECT count(*) FROM rounds").fetchone() == (30_000,)
        assert pa.total_allocated_bytes() - before < 1_000_000  # bytes of one table


def test_an_updated_index_equals_one_made_from_nothing(storage):
    finished_run(storage, "first")
    update_index(storage)
    finished_run(storage, "second")
    updated = content(update_index(storage))
    _index(storage).unlink()

    remade = content(update_index(storage))
    rebuilt = content(rebuild_index(storage))

    assert updated == remade == rebuilt
    assert len(updated["main.rounds"]) == 2
    assert len(updated["main.tokens"]) == 14


def test_an_update_with_nothing_to_add_leaves_the_very_file(storage):
    finished_run(storage)
    before = Path(update_index(storage)).stat()

    update_index(storage)

    assert _index(storage).stat().st_ino == before.st_ino


def test_any_duckdb_shell_opens_the_index_and_it_is_of_the_oldest_stable_format(storage):
    finished_run(storage)
    path = Path(update_index(storage))

    with duckdb.connect(str(path), read_only=True) as connection:
        (tags,) = connection.execute(
            "SELECT tags FROM duckdb_databases() WHERE database_name = 'tokensieve'"
        ).fetchone()
        assert connection.execute("SELECT count(*) FROM tokens").fetchone() == (7,)

    assert tags["storage_version"].startswith("v1.0.0")
    assert [entry.name for entry in path.parent.iterdir() if entry.name != ".lock"] == [path.name]


def test_an_open_reader_keeps_its_snapshot_and_stops_no_update(storage):
    finished_run(storage, "first")
    update_index(storage)
    with connect_published(storage) as reader:
        for number in range(5):
            finished_run(storage, f"later-{number}")
            update_index(storage)
            assert reader.execute("SELECT run FROM rounds").fetchall() == [("first",)]

    assert rows(storage, "SELECT count(*) FROM rounds") == [(6,)]


def test_a_shell_that_opened_the_index_for_writing_stops_no_update(storage):
    finished_run(storage, "first")
    path = Path(update_index(storage))
    path.chmod(0o644)
    holder = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import duckdb, sys; c = duckdb.connect(sys.argv[1]);"
            "c.execute('CREATE TABLE mine (a INT)'); print('open', flush=True); sys.stdin.read()",
            str(path),
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    try:
        assert holder.stdout.readline() == b"open\n"
        with pytest.raises(ConflictError, match=f"PID {holder.pid}"):
            _connect(storage)
        finished_run(storage, "second")
        update_index(storage)
    finally:
        holder.communicate(b"")

    assert rows(storage, "SELECT run FROM rounds ORDER BY run") == [("first",), ("second",)]


@pytest.mark.parametrize("point", ["after_index_document", "before_index_swap", "after_index_swap"])
def test_a_build_that_is_killed_leaves_a_valid_index_and_the_next_one_finishes(storage, point):
    finished_run(storage, "first")
    before = content(update_index(storage))
    finished_run(storage, "second")

    killed = _update_in_another_process(storage, {"TOKENSIEVE_ABORT_AT": f"{point}:0"})
    left = content(_index(storage))
    update_index(storage)

    assert killed.wait() == -signal.SIGKILL
    assert (left == before) == (point != "after_index_swap")
    assert rows(storage, "SELECT run FROM rounds ORDER BY run") == [("first",), ("second",)]
    assert sorted(each.name for each in _index(storage).parent.iterdir()) == [
        ".lock",
        "tokensieve.duckdb",
    ]
    assert list(storage.root.glob(".tmp-*")) == []


def test_runs_that_finish_at_once_all_get_into_the_index(storage):
    finished_run(storage, "first")
    processes = []
    for number in range(3):
        finished_run(storage, f"later-{number}")
        processes.append(_update_in_another_process(storage, {}))

    assert [process.wait() for process in processes] == [0, 0, 0]
    assert rows(storage, "SELECT count(*) FROM rounds") == [(4,)]


def test_a_full_disk_is_a_resource_error_and_the_index_stays(storage):
    finished_run(storage, "first")
    before = content(update_index(storage))
    finished_run(storage, "second")
    script = (
        "import resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
        "from pathlib import Path; from sql.index import rebuild_index;"
        "from tokensieve.storage import LocalStorage; from tokensieve.errors import ResourceError;"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))\n"
        "try: rebuild_index(LocalStorage(Path(sys.argv[1])))\n"
        "except ResourceError as error: print(error); sys.exit(6)"
    )

    failed = run_script(script, storage.root)

    assert failed.returncode == 6, failed.stderr
    assert str(_index(storage)) in failed.stdout
    assert content(_index(storage)) == before


@pytest.mark.parametrize("damage", [b"", b"SQLite format 3\x00" + b"\x00" * 4096, b"\x01" * 9000])
def test_a_file_that_is_no_index_is_refused_with_the_command_that_remakes_it(storage, damage):
    finished_run(storage)
    expected = content(update_index(storage))
    path = _index(storage)
    path.unlink()
    path.write_bytes(damage)

    with pytest.raises(DamagedError, match="tokensieve index --rebuild"):
        update_index(storage)
    with pytest.raises(DamagedError, match="tokensieve index --rebuild"):
        _connect(storage)
    assert path.read_bytes() == damage

    assert content(rebuild_index(storage)) == expected


def test_a_truncated_index_is_refused_and_rebuilt(storage):
    finished_run(storage)
    path = Path(update_index(storage))
    expected = content(path)
    path.chmod(0o644)
    os.truncate(path, path.stat().st_size // 2)

    with pytest.raises(DamagedError, match="tokensieve index --rebuild"):
        update_index(storage)

    assert content(rebuild_index(storage)) == expected


def test_somebody_elses_database_is_never_replaced(storage):
    finished_run(storage)
    path = _index(storage)
    path.parent.mkdir()
    with duckdb.connect(str(path)) as connection:
        connection.execute("CREATE TABLE precious AS SELECT 1 AS a")
    before = path.read_bytes()

    for refused in (update_index, rebuild_index, _connect):
        with pytest.raises(InputError, match="not an index of tokensieve"):
            refused(storage)

    assert path.read_bytes() == before


@pytest.mark.parametrize(("version", "rebuilt"), [(SCHEMA_VERSION - 1, True), (99, False)])
def test_an_older_schema_is_made_anew_and_a_newer_one_refused(storage, version, rebuilt):
    finished_run(storage)
    path = Path(update_index(storage))
    path.chmod(0o644)
    with duckdb.connect(str(path)) as connection:
        connection.execute("UPDATE meta SET schema_version = $version", {"version": version})

    with pytest.raises(InputError, match="schema version"):
        _connect(storage)
    if rebuilt:
        update_index(storage)
    else:
        with pytest.raises(InputError, match="newer tokensieve"):
            update_index(storage)
        rebuild_index(storage)

    assert rows(storage, "SELECT schema_version FROM meta") == [(SCHEMA_VERSION,)]


def test_a_log_beside_the_index_means_that_it_was_written_to_and_is_made_anew(storage):
    finished_run(storage)
    path = Path(update_index(storage))
    expected = content(path)
    log = path.with_name(f"{path.name}.wal")
    log.write_bytes(b"")

    assert content(update_index(storage)) == expected
    assert not log.exists()


def test_a_workspace_that_was_moved_gets_an_index_of_its_new_place(storage, tmp_path):
    finished_run(storage)
    update_index(storage)
    moved = LocalStorage(tmp_path / "elsewhere")
    shutil.move(storage.root, moved.root)

    with pytest.raises(SettingsError, match=r"lay elsewhere .* `tokensieve index` makes it anew"):
        query(moved, "SELECT count(*) FROM tokens", max_rows=1, max_seconds=60.0)
    update_index(moved)

    assert rows(moved, "SELECT count(*) FROM tokens") == [(7,)]


def test_no_name_of_a_workspace_is_taken_for_sql(tmp_path):
    storage = LocalStorage(tmp_path / "a\n; DROP TABLE rounds; --') $run")
    storage.probe()
    finished_run(storage)

    update_index(storage)

    assert rows(storage, "SELECT count(*) FROM tokens") == [(7,)]
    assert rows(storage, "SELECT workspace FROM meta") == [(str(storage.root),)]


def test_a_round_that_is_gone_from_the_workspace_is_gone_from_the_index(storage):
    finished_run(storage, "first")
    finished_run(storage, "second")
    update_index(storage)
    shutil.rmtree(storage.path("runs/first"))

    update_index(storage)

    assert rows(storage, "SELECT run FROM rounds") == [("second",)]


def test_a_workspace_without_runs_has_an_empty_index_with_all_its_views(storage):
    update_index(storage)

    for view in ("samples", "tokens", "quarantine", "round_stats"):
        assert rows(storage, f"SELECT count(*) FROM {view}") == [(0,)]


def test_a_missing_index_is_named_with_the_command_that_makes_it(storage):
    with pytest.raises(InputError, match="tokensieve index"):
        _connect(storage)


def test_a_builder_that_waits_too_long_says_so(storage, monkeypatch):
    monkeypatch.setattr("tokensieve.storage.locking.LOCK_SECONDS", 0.1)
    holder = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import fcntl, sys; f = open(sys.argv[1], 'ab'); fcntl.flock(f, fcntl.LOCK_SH);"
            "print('locked', flush=True); sys.stdin.read()",
            str(_lock_file(storage)),
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    try:
        assert holder.stdout.readline() == b"locked\n"
        with pytest.raises(ResourceError, match="another process"):
            update_index(storage)
    finally:
        holder.communicate(b"")


def test_the_named_queries_describe_a_round(storage):
    finished_run(storage)
    update_index(storage)

    with connect_published(storage) as connection:
        sources = run(connection, "list_sources", run="first", round=0).fetchall()
        dropped = run(connection, "list_tokens_most_dropped", run="first", round=0, most=2)
        assert dropped.fetchall() == [
            (2, "\x00", 3, 1, 2.0),
            (3, "'; DROP TABLE rounds; --", 1, 1, -0.5),
        ]

    assert sources == [("wiki", 5, 1, 0.2, 1.0, 0.5), (HOSTILE, 2, 1, 0.5, 2.0, 0.5)]


def _update_in_another_process(storage: LocalStorage, environment: dict[str, str]):
    script = (
        "import sys; from pathlib import Path; from sql.index import update_index;"
        "from tokensieve.storage import LocalStorage; update_index(LocalStorage(Path(sys.argv[1])))"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script, str(storage.root)],
        cwd=REPOSITORY,
        env={**os.environ, **environment},
    )
    if environment:
        process.wait()
    return process


def _connect(storage: LocalStorage) -> None:
    with connect_published(storage):
        pass


def _index(storage: LocalStorage) -> Path:
    return storage.path(INDEX_KEY)


def _lock_file(storage: LocalStorage) -> Path:
    directory = _index(storage).parent
    directory.mkdir()
    return directory / ".lock"
