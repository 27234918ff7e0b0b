"""What `gc` calls garbage, what it leaves alone, and that it may stop anywhere."""

import os
import socket
import threading
import time
from dataclasses import replace

import psutil
import pytest

from flows.cli import main
from sql.index import update_index
from sql.query import query
from tasks.reclaim import describe_garbage, remove_garbage
from tasks.status import verify_artifacts
from tests.tiny_runs import (
    begin_comparison,
    begin_evolving_run,
    finish_first_round,
    finish_second_round,
)
from tests.tiny_workspace import Sample, finish_run, make_corpus, make_scores, make_selection
from tokensieve.artifact import Artifact
from tokensieve.drops import Visit, read_log
from tokensieve.errors import ConflictError, SettingsError
from tokensieve.garbage import find_garbage
from tokensieve.reachability import Reachability
from tokensieve.runs import Attempt
from tokensieve.storage import LocalStorage

SHARDS = [
    [Sample("a", "one", (0, 1, 2)), Sample("b", "one", (0, 3))],
    [Sample("c", "two", (0, 4, 5, 6))],
]
DAY = 24 * 3600


@pytest.fixture
def storage(tmp_path):
    storage = LocalStorage(tmp_path / "workspace")
    storage.probe()
    return storage


def cleaned(storage, name, nll, corpus=None):
    """Return the artifacts of a finished run on a corpus that runs may share."""
    corpus = corpus or make_corpus(storage, SHARDS)
    base = make_scores(corpus, "base", nll)
    selection = make_selection(corpus, [[1, 0, 1], [0, 1, 1]], scores={"base": base})
    finish_run(storage, name, [(corpus, {"base": base}, selection)])
    return corpus, base, selection


def age(storage, days=3.0):
    """Make every file of the workspace so old."""
    then = time.time() - days * DAY
    for path in storage.root.rglob("*"):
        os.utime(path, (then, then))


def keys(garbage):
    return sorted(each.key for each in garbage)


def all_files(storage):
    return sorted(str(path) for path in storage.root.rglob("*") if path.is_file())


def test_what_finished_runs_name_is_needed_with_all_that_its_plans_name(storage):
    corpus, base, selection = cleaned(storage, "first", [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])

    assert Reachability(storage).needed == {corpus.key, base.key, selection.key}
    assert find_garbage(storage) == []


def test_rounds_arms_parts_and_models_are_needed(storage):
    run, corpus = begin_evolving_run(storage)
    finish_first_round(run, corpus)
    finish_second_round(run, corpus)
    begin_comparison(storage)

    assert find_garbage(storage) == []


def test_an_artifact_that_no_run_names_is_garbage_and_goes_with_delete(storage):
    corpus, base, _ = cleaned(storage, "first", [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    other = make_scores(corpus, "base", [[9.0, 9.0, 9.0], [9.0, 9.0, 9.0]])
    age(storage)
    before = all_files(storage)

    assert keys(find_garbage(storage)) == [other.key]
    told = describe_garbage(storage, 1.0, ())
    assert other.key in told
    assert "--delete" in told
    assert all_files(storage) == before

    remove_garbage(storage, 1.0, ())

    assert find_garbage(storage) == []
    assert list(storage.files(other.key)) == []
    assert base.committed() is not None
    assert "every hash is right" in verify_artifacts(storage)


def test_what_is_younger_than_a_day_stays_whatever_is_asked(storage):
    corpus, _, _ = cleaned(storage, "first", [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    other = make_scores(corpus, "base", [[9.0, 9.0, 9.0], [9.0, 9.0, 9.0]])
    age(storage, days=0.9)

    told = remove_garbage(storage, 0.0, ())

    assert other.committed() is not None
    assert "too young" in told


def test_one_young_file_keeps_the_whole_artifact(storage):
    corpus, _, _ = cleaned(storage, "first", [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    other = make_scores(corpus, "base", [[9.0, 9.0, 9.0], [9.0, 9.0, 9.0]])
    age(storage)
    os.utime(storage.path(f"{other.key}/receipts/00001.json"))

    remove_garbage(storage, 1.0, ())

    assert other.committed() is not None


def test_a_clock_that_jumped_makes_nothing_old(storage, monkeypatch):
    corpus, _, _ = cleaned(storage, "first", [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    other = make_scores(corpus, "base", [[9.0, 9.0, 9.0], [9.0, 9.0, 9.0]])
    later = time.time() + 365 * DAY
    monkeypatch.setattr(time, "time", lambda: later)

    remove_garbage(storage, 1.0, ())

    assert other.committed() is not None


def test_what_is_made_of_the_corpus_of_an_unfinished_run_stays(storage):
    run, corpus = begin_evolving_run(storage)
    scores = make_scores(corpus, "held-out", [[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]])

    assert not run.is_finished(storage)
    assert scores.key in Reachability(storage).needed


def test_a_run_that_is_forgotten_takes_what_it_alone_needs(storage):
    corpus, base, selection = cleaned(storage, "first", [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    _, second, _ = cleaned(storage, "second", [[7.0, 7.0, 7.0], [7.0, 7.0, 7.0]], corpus)
    update_index(storage)
    age(storage)

    told = describe_garbage(storage, 1.0, ["second"])
    assert "runs/second" in told
    assert second.key in told
    assert base.key not in told
    assert second.committed() is not None

    remove_garbage(storage, 1.0, ["second"])

    assert storage.names("runs/second") == []
    assert second.committed() is None
    assert {corpus.key, base.key, selection.key} == Reachability(storage).needed
    assert "every hash is right" in verify_artifacts(storage)
    found = query(storage, "SELECT DISTINCT run FROM tokens", max_rows=9, max_seconds=20)
    assert found.table.to_pylist() == [{"run": "first"}]


def test_a_run_that_is_unknown_or_running_is_not_forgotten(storage):
    cleaned(storage, "first", [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    with pytest.raises(SettingsError, match="Did you mean first"):
        describe_garbage(storage, 1.0, ["fist"])

    began = psutil.Process().create_time()
    Attempt(
        flow_run="11111111-2222-3333-4444-555555555555",
        host=socket.gethostname(),
        pid=os.getpid(),
        started=began,
    ).publish(storage, "first")
    with pytest.raises(ConflictError, match="is running"):
        remove_garbage(storage, 1.0, ["first"])


def test_a_run_that_another_machine_has_not_finished_is_not_forgotten(storage):
    run, _ = begin_evolving_run(storage)
    Attempt(
        flow_run="11111111-2222-3333-4444-555555555555", host="elsewhere", pid=1, started=1.0
    ).publish(storage, run.name)

    with pytest.raises(ConflictError, match="last worked on by 'elsewhere'"):
        describe_garbage(storage, 1.0, [run.name])


def test_a_run_that_cleaned_a_drop_is_not_forgotten(storage):
    corpus, _, selection = cleaned(storage, "first", [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    visit = Visit(
        drop="week-1",
        files=[],
        run="first",
        way="0" * 16,
        corpus=corpus.id,
        selection=selection.id,
        counts={},
        alarms=[],
        held=False,
    )
    visit.publish(storage, read_log(storage))

    with pytest.raises(ConflictError, match="cleaned the drop week-1"):
        remove_garbage(storage, 1.0, ["first"])


def test_a_commit_that_is_made_while_its_artifact_goes_does_not_stay(storage):
    corpus, _, _ = cleaned(storage, "first", [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    other = make_scores(corpus, "base", [[9.0, 9.0, 9.0], [9.0, 9.0, 9.0]])
    [garbage] = find_garbage(storage)
    storage.remove(garbage.files[0].key)
    other.commit()

    replace(garbage, files=garbage.files[1:]).remove(storage)

    assert other.committed() is None
    assert "every hash is right" in verify_artifacts(storage)


def test_files_without_a_receipt_checkpoints_and_temporary_files_are_garbage(storage):
    _, base, _ = cleaned(storage, "first", [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    orphan = f"{base.key}/shards/00000-{'0' * 16}.parquet"
    storage.create(orphan, b"never named")
    storage.create(f"{base.key}/checkpoints/000007-{'0' * 16}.safetensors", b"state")
    storage.create(f"{base.key}/notes.txt", b"somebody's own")
    (storage.root / "scores/.tmp-1-abc").write_bytes(b"half")
    (storage.root / ".tmp-dead/files").mkdir(parents=True)
    (storage.root / ".tmp-dead/files/x").write_bytes(b"half")
    storage.create(f"probe-{'0' * 16}", b"of a check that was killed")

    assert keys(find_garbage(storage)) == [
        ".tmp-dead",
        f"probe-{'0' * 16}",
        "scores/.tmp-1-abc",
        f"{base.key}/checkpoints/000007-{'0' * 16}.safetensors",
        orphan,
    ]

    age(storage)
    remove_garbage(storage, 1.0, ())

    assert find_garbage(storage) == []
    assert not (storage.root / ".tmp-dead").exists()
    assert storage.exists(f"{base.key}/notes.txt")
    assert "every hash is right" in verify_artifacts(storage)


def test_the_scratch_of_a_living_process_is_not_garbage(storage):
    with storage.scratch() as scratch:
        (scratch / "big").write_bytes(b"x" * 100)
        assert find_garbage(storage) == []


@pytest.mark.parametrize("num_removed", range(9))
def test_removing_may_stop_after_any_file_and_the_next_one_finishes(storage, num_removed):
    corpus, _, _ = cleaned(storage, "first", [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    other = make_scores(corpus, "base", [[9.0, 9.0, 9.0], [9.0, 9.0, 9.0]])
    age(storage)
    [garbage] = find_garbage(storage)
    for file in garbage.files[:num_removed]:
        storage.remove(file.key)

    assert num_removed == 0 or other.committed() is None
    assert "every hash is right" in verify_artifacts(storage)
    remove_garbage(storage, 1.0, ())
    assert find_garbage(storage) == []
    assert list(storage.files(other.key)) == []


def test_nothing_is_taken_from_somebody_who_writes_meanwhile(storage):
    cleaned(storage, "old", [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    age(storage)
    done = threading.Event()

    def collect():
        while not done.is_set():
            remove_garbage(storage, 1.0, ())

    collector = threading.Thread(target=collect)
    collector.start()
    made: list[Artifact] = []
    for number in range(20):
        made += cleaned(storage, f"run-{number}", [[1.0, 2.0, float(number)], [4.0, 5.0, 6.0]])
    done.set()
    collector.join()

    assert all(artifact.committed() is not None for artifact in made)
    assert "every hash is right" in verify_artifacts(storage)


def test_the_command_lists_and_deletes(storage, capsys):
    corpus, _, _ = cleaned(storage, "first", [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    other = make_scores(corpus, "base", [[9.0, 9.0, 9.0], [9.0, 9.0, 9.0]])
    age(storage)

    for flags in ([], ["--delete"], []):
        with pytest.raises(SystemExit) as ended:
            main(["gc", "--workspace", str(storage.root), *flags])
        assert ended.value.code == 0
    shown = capsys.readouterr().out

    assert shown.count(other.key) == 2
    assert "3.0 days" in shown
    assert "everything in it is needed" in shown
