import json
import os
import pickle
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.scripts import REPOSITORY, run_script
from tokensieve.artifact import Artifact, load_artifact, parquet_bytes, summed
from tokensieve.documents import canonical_json, content_id
from tokensieve.errors import ConflictError, DamagedError, ResourceError
from tokensieve.runs import Arm, Outcome, Round, Run, all_runs, load_run
from tokensieve.storage import LocalStorage, sha256_hex

PLAN = {"kind": "scores", "num_shards": 2, "model": "abc"}

WORK = """
import sys
from pathlib import Path
from tests.unit.test_artifact import make
from tokensieve.storage import LocalStorage
make(LocalStorage(Path(sys.argv[1])))
"""


def table(shard: int) -> pa.Table:
    return pa.table({"sample_id": [f"s{shard}"], "nll": [[0.5, None, float(shard)]]})


def make(storage: LocalStorage) -> Artifact:
    """Do all the work that is not done yet, as a run does."""
    artifact = Artifact(storage, "scores", PLAN)
    artifact.declare()
    for shard in range(artifact.num_shards):
        if artifact.receipt(shard) is None:
            artifact.publish(shard, {"shards": table(shard)}, {"tokens": 3, "rows": 1 + shard})
    artifact.commit({"duplicates": {"0": [1]}})
    return artifact


@pytest.fixture
def storage(tmp_path):
    storage = LocalStorage(tmp_path / "workspace")
    storage.probe()
    return storage


def tree(storage: LocalStorage) -> dict[str, bytes]:
    """The published bytes by name, without the temporary files of killed writers."""
    return {
        str(path.relative_to(storage.root)): path.read_bytes()
        for path in sorted(storage.root.rglob("*"))
        if path.is_file() and not path.name.startswith(".tmp-")
    }


def edit(path: Path, change, seal: bool = True) -> None:
    """Change a document and write it in our own way, as somebody who knows it would."""
    document = json.loads(path.read_bytes())
    change(document["content"])
    if seal:
        document["sha256"] = sha256_hex(canonical_json(document["content"])[:-1])
    path.write_bytes(canonical_json(document))


def test_finished_work_is_what_was_put_in(storage):
    artifact = make(storage)
    commit = artifact.committed()

    assert commit is not None
    assert commit.totals == {"rows": 3, "tokens": 6}
    assert commit.notes == {"duplicates": {"0": [1]}}
    assert [r.files["shards"].num_rows for r in commit.receipts] == [1, 1]
    assert artifact.read_table(commit.receipts[1], "shards").equals(table(1))
    assert artifact.read_table(commit.receipts[1], "shards", ["nll"]).column_names == ["nll"]
    assert artifact.done_shards() == {0, 1}


def test_an_artifact_is_named_by_its_plan_and_its_files_by_their_content(storage):
    artifact = make(storage)

    assert artifact.id == sha256_hex(canonical_json(PLAN))[:16] == content_id(PLAN)
    assert list(tree(storage)) == [
        f"{artifact.key}/COMMIT.json",
        f"{artifact.key}/PLAN.json",
        f"{artifact.key}/receipts/00000.json",
        f"{artifact.key}/receipts/00001.json",
        *(
            f"{artifact.key}/shards/{n:05d}-{sha256_hex(parquet_bytes(table(n)))[:16]}.parquet"
            for n in (0, 1)
        ),
    ]


def test_the_order_of_keys_does_not_change_a_name_and_a_value_does():
    assert content_id({"a": 1, "b": 2}) == content_id({"b": 2, "a": 1})
    assert content_id({"a": 1}) != content_id({"a": 2})
    assert canonical_json({"b": [1.5, None], "a": "é"}) == b'{"a":"\\u00e9","b":[1.5,null]}\n'
    with pytest.raises(ValueError, match="JSON"):
        canonical_json({"a": float("nan")})


def test_the_same_work_gives_the_same_bytes_everywhere(storage, tmp_path):
    other = LocalStorage(tmp_path / "other")
    make(storage)
    make(other)

    assert tree(storage) == tree(other)


def test_work_that_is_done_is_not_done_again(storage):
    make(storage)
    before = {path: path.stat().st_ino for path in storage.root.rglob("*") if path.is_file()}

    make(storage)

    assert before == {p: p.stat().st_ino for p in storage.root.rglob("*") if p.is_file()}


def test_nothing_counts_as_done_before_its_document_stands(storage):
    artifact = Artifact(storage, "scores", PLAN)
    artifact.declare()
    assert (artifact.receipt(0), artifact.committed(), artifact.done_shards()) == (
        None,
        None,
        set(),
    )

    artifact.publish(1, {"shards": table(1)}, {})

    assert (artifact.receipt(0), artifact.committed(), artifact.done_shards()) == (None, None, {1})
    with pytest.raises(AssertionError, match="shard 0 is not done"):
        artifact.commit()
    assert artifact.committed() is None


def test_the_loser_of_a_race_adopts_the_receipt_of_the_winner(storage):
    artifact = Artifact(storage, "scores", PLAN)
    won = artifact.publish(0, {"shards": table(0)}, {"tokens": 3})

    lost = artifact.publish(0, {"shards": table(7)}, {"tokens": 9})

    assert lost == won == artifact.receipt(0)
    assert artifact.read_table(lost, "shards").equals(table(0))


def test_two_commits_with_other_notes_are_a_conflict_and_the_first_stands(storage):
    artifact = make(storage)

    with pytest.raises(ConflictError, match=r"COMMIT\.json"):
        artifact.commit({"duplicates": {}})

    commit = artifact.committed()
    assert commit is not None
    assert commit.notes == {"duplicates": {"0": [1]}}


POINTS = [
    "after_shard_publish:0",
    "after_shard_publish:1",
    "after_receipt:0",
    "after_receipt:1",
    "before_commit:0",
    "after_commit:0",
]


def test_a_run_killed_at_any_point_and_run_again_gives_the_very_bytes(storage, tmp_path):
    make(LocalStorage(tmp_path / "undisturbed"))
    expected = tree(LocalStorage(tmp_path / "undisturbed"))
    for point in POINTS:
        disturbed = LocalStorage(tmp_path / point.replace(":", "-"))

        killed = _work_in_another_process(disturbed, TOKENSIEVE_ABORT_AT=point)

        assert killed.returncode == -signal.SIGKILL, point
        assert (Artifact(disturbed, "scores", PLAN).committed() is None) == (
            "after_commit" not in point
        )
        make(disturbed)
        assert tree(disturbed) == expected, point


def test_runs_that_do_the_same_work_at_once_all_finish_with_the_same_bytes(storage, tmp_path):
    make(LocalStorage(tmp_path / "undisturbed"))
    processes = [
        subprocess.Popen([sys.executable, "-c", WORK, str(storage.root)], cwd=REPOSITORY)
        for _ in range(3)
    ]

    assert [process.wait() for process in processes] == [0, 0, 0]
    assert tree(storage) == tree(LocalStorage(tmp_path / "undisturbed"))


def test_a_full_disk_leaves_no_receipt_and_the_next_run_finishes(storage, tmp_path):
    script = (
        "import resource, signal; from tokensieve.errors import ResourceError\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (500, 500))\n"
        f"try:\n    exec({WORK!r})\n"
        "except ResourceError as error: print(error); raise SystemExit(error.exit_code)"
    )
    failed = run_script(script, storage.root)
    make(LocalStorage(tmp_path / "undisturbed"))

    assert failed.returncode == 6, failed.stderr
    assert ".parquet" in failed.stdout
    assert Artifact(storage, "scores", PLAN).done_shards() == set()
    make(storage)
    assert tree(storage) == tree(LocalStorage(tmp_path / "undisturbed"))


@pytest.mark.parametrize("damage", ["flip", "truncate", "empty", "double", "missing"])
def test_a_damaged_shard_is_refused_by_name_and_the_message_says_how_to_heal_it(storage, damage):
    artifact = make(storage)
    expected = tree(storage)
    receipt = artifact.required_receipt(1)
    path = storage.path(receipt.files["shards"].key)
    data = path.read_bytes()
    changed = {
        "flip": data[:100] + bytes([data[100] ^ 1]) + data[101:],
        "truncate": data[:-1],
        "empty": b"",
        "double": data + data,
    }
    path.unlink()
    if damage != "missing":
        path.write_bytes(changed[damage])

    for read in (
        lambda: artifact.receipt(1),
        lambda: artifact.read_table(receipt, "shards"),
        lambda: artifact.commit({"duplicates": {"0": [1]}}),
    ):
        with pytest.raises(DamagedError, match=path.name) as raised:
            read()

    advised = [
        path,
        *(storage.path(f"{artifact.key}/{n}") for n in ("receipts/00001.json", "COMMIT.json")),
    ]
    for file in advised:
        assert str(file) in str(raised.value)
        file.unlink(missing_ok=True)
    make(storage)
    assert tree(storage) == expected


def test_a_damaged_file_under_the_name_of_new_work_is_refused(storage):
    artifact = Artifact(storage, "scores", PLAN)
    key = artifact.publish(0, {"shards": table(0)}, {}).files["shards"].key
    storage.path(f"{artifact.key}/receipts/00000.json").unlink()
    storage.path(key).write_bytes(b"")

    with pytest.raises(DamagedError, match=storage.path(key).name):
        artifact.publish(0, {"shards": table(0)}, {})

    assert artifact.receipt(0) is None


RECEIPT_EDITS: dict[str, Any] = {
    "plan": lambda d: d.update(plan="0" * 16),
    "shard": lambda d: d.update(shard=1),
    "shards.key": lambda d: d["files"]["shards"].update(key="scores/x/shards/00000-0.parquet"),
    "num_bytes": lambda d: d["files"]["shards"].update(num_bytes=1),
    "num_rows": lambda d: d["files"]["shards"].update(num_rows=2),
    "sha256": lambda d: d["files"]["shards"].update(sha256="0" * 64),
    "files.shards.num_rows": lambda d: d["files"]["shards"].update(num_rows="one"),
    "counts.tokens": lambda d: d["counts"].update(tokens="many"),
    "more": lambda d: d.update(more=1),
    "files": lambda d: d.pop("files"),
    "shard: Input should be a valid integer": lambda d: d.update(shard=False),
}


@pytest.mark.parametrize("field", RECEIPT_EDITS)
def test_an_edited_receipt_is_refused_with_its_name_and_field(storage, field):
    artifact = make(storage)
    path = storage.path(f"{artifact.key}/receipts/00000.json")
    edit(path, RECEIPT_EDITS[field])

    with pytest.raises(DamagedError) as raised:
        artifact.read_table(artifact.required_receipt(0), "shards")

    assert str(path) in str(raised.value)
    assert field in str(raised.value) or field == "sha256"


COMMIT_EDITS: dict[str, Any] = {
    "plan": lambda d: d.update(plan="0" * 16),
    "receipts": lambda d: d["receipts"].pop(),
    "shard": lambda d: d["receipts"].reverse(),
    "shards.key": lambda d: d["receipts"][0]["files"]["shards"].update(sha256="0" * 64),
    "totals": lambda d: d["totals"].update(tokens=7),
    "totals: says": lambda d: d["receipts"][0]["counts"].update(tokens=7),
    "notes": lambda d: d.update(notes=[]),
    "receipts.0.files.shards.num_rows": lambda d: d["receipts"][0]["files"]["shards"].pop(
        "num_rows"
    ),
}


@pytest.mark.parametrize("field", COMMIT_EDITS)
def test_an_edited_commit_is_refused_with_its_name_and_field(storage, field):
    artifact = make(storage)
    path = storage.path(f"{artifact.key}/COMMIT.json")
    edit(path, COMMIT_EDITS[field])

    with pytest.raises(DamagedError) as raised:
        artifact.committed()

    assert str(path) in str(raised.value)
    assert field in str(raised.value)


def test_an_edit_that_is_well_formed_is_found_by_the_hash_of_the_document(storage):
    artifact = make(storage)
    commit, receipt = (
        storage.path(f"{artifact.key}/{name}") for name in ("COMMIT.json", "receipts/00000.json")
    )
    edit(commit, lambda d: d["notes"].update(duplicates={"0": [0, 1, 2, 3, 4]}), seal=False)
    edit(receipt, lambda d: d["counts"].update(tokens=10), seal=False)

    with pytest.raises(DamagedError, match=f"{commit}: sha256: is not that of the content"):
        artifact.committed()
    with pytest.raises(DamagedError, match=f"{receipt}: sha256: is not that of the content"):
        artifact.receipt(0)


def test_other_white_space_in_a_document_is_an_edit_too(storage):
    artifact = make(storage)
    path = storage.path(f"{artifact.key}/COMMIT.json")
    path.write_text(json.dumps(json.loads(path.read_bytes()), indent=2))

    with pytest.raises(DamagedError, match=r"COMMIT\.json: sha256"):
        artifact.committed()


def test_a_document_is_plain_json_with_the_hash_of_its_content(storage):
    artifact = make(storage)

    data = storage.path(f"{artifact.key}/receipts/00001.json").read_bytes()

    document = json.loads(data)
    assert list(document) == ["content", "sha256"]
    assert document["content"]["counts"] == {"rows": 2, "tokens": 3}
    assert document["sha256"] == sha256_hex(canonical_json(document["content"])[:-1])


@pytest.mark.parametrize("content", [b"", b"{", b"null", b"\xff", b"[" * 100_000])
def test_a_document_that_is_not_ours_is_damaged_and_not_absent(storage, content):
    artifact = make(storage)
    for name in ("COMMIT.json", "receipts/00000.json"):
        storage.path(f"{artifact.key}/{name}").write_bytes(content)

    with pytest.raises(DamagedError, match=r"COMMIT\.json"):
        artifact.committed()
    with pytest.raises(DamagedError, match=r"00000\.json"):
        artifact.receipt(0)


def test_two_shards_that_were_swapped_are_refused(storage):
    artifact = make(storage)
    first, second = (storage.path(artifact.required_receipt(n).files["shards"].key) for n in (0, 1))
    one, other = first.read_bytes(), second.read_bytes()
    first.write_bytes(other)
    second.write_bytes(one)

    for shard, path in ((0, first), (1, second)):
        with pytest.raises(DamagedError, match=path.name):
            artifact.receipt(shard)


def test_two_receipts_that_were_swapped_are_refused(storage):
    artifact = make(storage)
    first, second = (storage.path(f"{artifact.key}/receipts/0000{n}.json") for n in (0, 1))
    one = first.read_bytes()
    first.write_bytes(second.read_bytes())
    second.write_bytes(one)

    with pytest.raises(DamagedError, match=r"00000\.json: shard: says 1, not 0"):
        artifact.receipt(0)


def test_stray_files_change_nothing(storage):
    artifact = make(storage)
    before = artifact.committed()
    directory = storage.path(artifact.key)
    for stray in ("shards/00002-ff.parquet", "shards/x.parquet", "receipts/.DS_Store", "a~"):
        (directory / stray).write_bytes(b"stray")
    (directory / ".tmp-1-00").write_bytes(b"half")

    make(storage)

    assert artifact.committed() == before
    assert artifact.done_shards() == {0, 1}


def test_a_declared_artifact_is_found_by_its_id_and_survives_pickling(storage):
    artifact = make(storage)

    loaded = pickle.loads(pickle.dumps(load_artifact(storage, "scores", artifact.id)))

    assert loaded.plan == PLAN
    assert loaded.committed() == artifact.committed()


@pytest.mark.parametrize("content", [None, b"{}\n", b"{", b""])
def test_a_plan_that_is_missing_or_edited_is_refused(storage, content):
    artifact = make(storage)
    path = storage.path(f"{artifact.key}/PLAN.json")
    path.unlink()
    if content is not None:
        path.write_bytes(content)

    with pytest.raises(DamagedError, match=str(path)):
        load_artifact(storage, "scores", artifact.id)
    if content is not None:
        with pytest.raises(ConflictError, match=str(path)):
            artifact.declare()


def test_a_shard_is_plain_parquet_and_the_same_table_is_the_same_bytes():
    data = parquet_bytes(table(0))

    assert data == parquet_bytes(table(0))
    assert pq.read_table(pa.BufferReader(data)).equals(table(0))


def test_counts_are_summed_key_by_key():
    counts: list[dict[str, int]] = [{"b": 1, "a": 0}, {"b": 2, "c": -1}]

    assert summed(counts) == {"a": 0, "b": 3, "c": -1}
    assert list(summed(counts)) == ["a", "b", "c"]
    assert summed([]) == {}


OUTCOME = {"promoted": True, "reason": "better", "loss_before": 2.0, "loss_after": 1.9}
ARM = {
    "selections": ["a" * 16],
    "models": ["b" * 16],
    "loss": 1.9,
    "exact_match": None,
    "tasks": {},
    "kept_share": 0.6,
    "forward_passes": 5.0,
}


def _run(name: str = "first") -> Run:
    return Run(
        name=name,
        flow="evolve",
        settings={"keep": 0.6, "arms": ["full", "rho"], "seeds": [0, 1]},
        inputs=[],
        models={},
        corpora={},
        num_rounds=2,
    )


def _round(number: int) -> Round:
    return Round(round=number, corpus="c" * 16, scores={}, selection="d" * 16)


def test_a_run_is_published_once_and_its_rounds_finish_one_by_one(storage):
    run = _run()
    run.publish(storage)
    run.publish(storage)
    for number, outcome in enumerate([None, Outcome(**OUTCOME)]):
        assert [each.round.round for each in run.finished_rounds(storage)] == list(range(number))
        assert not run.is_finished(storage)
        run.begin_round(storage, _round(number))
        run.finish_round(storage, _round(number), outcome)

    assert load_run(storage, "first") == run
    assert load_run(storage, "second") is None
    assert all_runs(storage) == [run]
    assert run.planned_rounds(storage) == [_round(0), _round(1)]
    assert [each.outcome for each in run.finished_rounds(storage)] == [None, Outcome(**OUTCOME)]
    for arm, seed in run.planned_arms:
        assert not run.is_finished(storage)
        run.finish_arm(storage, Arm(arm=arm, seed=seed, **ARM))
    assert run.is_finished(storage)
    with pytest.raises(ConflictError, match=r"RUN\.json"):
        run.model_copy(update={"settings": {}}).publish(storage)


def test_a_round_has_one_plan_and_one_end(storage):
    run = _run()
    run.begin_round(storage, _round(0))
    run.finish_round(storage, _round(0), Outcome(**OUTCOME))

    with pytest.raises(ConflictError, match=r"round-000-plan\.json"):
        run.begin_round(storage, _round(0).model_copy(update={"model": "e" * 16}))
    with pytest.raises(ConflictError, match=r"round-000\.json"):
        run.finish_round(storage, _round(0))


def test_a_run_that_was_stopped_is_finished(storage):
    run = _run()
    assert run.stopped(storage) == ""

    run.stop(storage, "no gain in 2 rounds")

    assert run.is_finished(storage)
    assert run.stopped(storage) == "no gain in 2 rounds"


def test_the_arms_of_a_comparison_finish_in_any_order(storage):
    run = _run()
    arms = [Arm(**ARM, arm=arm, seed=seed) for arm, seed in (("rho", 1), ("full", 0))]
    for arm in arms:
        run.finish_arm(storage, arm)

    assert run.finished_arms(storage) == arms[::-1]
    assert run.finished_arm(storage, "rho", 0) is None
    assert run.finished_arm(storage, "rho", 1) == arms[0]


def test_an_edited_round_is_refused_by_name(storage):
    run = _run()
    run.publish(storage)
    run.begin_round(storage, _round(0))
    run.finish_round(storage, _round(0))
    path = storage.path("runs/first/round-000.json")
    edit(path, lambda d: d["round"].update(selection="e" * 16))

    with pytest.raises(DamagedError, match=f"{path}: the whole file: is not the round"):
        run.finished_rounds(storage)


@pytest.mark.parametrize("change", [lambda d: d.update(name="x"), lambda d: d.pop("num_rounds")])
def test_an_edited_run_is_refused_by_name(storage, change):
    _run().publish(storage)
    path = storage.path("runs/first/RUN.json")
    edit(path, change)

    with pytest.raises(DamagedError, match=str(path)):
        all_runs(storage)


def test_a_file_that_cannot_be_read_is_named(storage):
    artifact = make(storage)
    path = storage.path(f"{artifact.key}/COMMIT.json")
    path.unlink()
    path.mkdir()

    with pytest.raises(ResourceError, match=str(path)):
        artifact.committed()


def _work_in_another_process(storage: LocalStorage, **environment: str) -> Any:
    return subprocess.run(
        [sys.executable, "-c", WORK, str(storage.root)],
        cwd=REPOSITORY,
        env={**os.environ, **environment},
        check=False,
    )
