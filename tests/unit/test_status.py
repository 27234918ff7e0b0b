"""What `status` and `verify` say of workspaces that are sound, interrupted or damaged."""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path
from uuid import uuid4

import psutil
import pytest
from prefect.settings import PREFECT_API_URL, temporary_settings

from flows.cli import main
from tasks.status import describe_runs, verify_artifacts
from tests.tiny_runs import (
    begin_comparison,
    begin_evolving_run,
    finish_first_round,
    finish_second_round,
)
from tests.tiny_workspace import (
    Sample,
    begin_run,
    finish_run,
    make_corpus,
    make_scores,
    make_selection,
)
from tokensieve.artifact import Artifact
from tokensieve.documents import canonical_json
from tokensieve.errors import DamagedError
from tokensieve.runs import Attempt
from tokensieve.storage import LocalStorage, sha256_hex

SHARDS = [
    [Sample("a", "one", (0, 1, 2)), Sample("b", "one", (0, 3))],
    [Sample("c", "two", (0, 4, 5, 6))],
]


@pytest.fixture(autouse=True)
def no_server():
    with temporary_settings({PREFECT_API_URL: None}):
        yield


@pytest.fixture
def storage(tmp_path):
    storage = LocalStorage(tmp_path / "workspace")
    storage.probe()
    return storage


@pytest.fixture
def made(storage):
    """Return the artifacts of a run that is finished, by step."""
    corpus = make_corpus(storage, SHARDS)
    base = make_scores(corpus, "base", [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    selection = make_selection(corpus, [[1, 0, 1], [0, 1, 1]])
    finish_run(storage, "first", [(corpus, {"base": base}, selection)])
    return {"corpus": corpus, "scores.base": base, "selection": selection}


def attempt(host=None, pid=None, started=None) -> Attempt:
    """Return an attempt by a process that is gone, unless told otherwise."""
    return Attempt(
        flow_run=str(uuid4()),
        host=host or socket.gethostname(),
        pid=pid or _ended_process(),
        started=started or time.time(),
    )


def _ended_process() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def unfinish(storage) -> None:
    """Take back the end of the run: its round, the selection's commit and a receipt."""
    storage.path("runs/first/round-000.json").unlink()
    [commit] = storage.root.glob("selections/*/COMMIT.json")
    commit.unlink()
    (commit.parent / "receipts/00001.json").unlink()


def damages(storage) -> list[str]:
    """Return the lines of verify's error, the first of which counts them."""
    with pytest.raises(DamagedError) as raised:
        verify_artifacts(storage)
    first, *lines = str(raised.value).splitlines()
    assert first == f"{storage.root}: damaged: {len(lines)}"
    return [line.strip() for line in lines]


def files(artifact: Artifact) -> list[Path]:
    return [
        artifact.storage.path(file.key)
        for receipt in artifact.committed().receipts
        for file in receipt.files.values()
    ]


def flip(path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(data[:-9] + bytes([data[-9] ^ 1]) + data[-8:])


def test_a_workspace_without_runs_says_so(storage):
    assert describe_runs(storage) == f"{storage.root}: no runs yet"
    assert verify_artifacts(storage) == f"{storage.root}: 0 files, 0 bytes: every hash is right"


def test_a_finished_run_is_done_with_all_its_artifacts(storage, made):
    attempt().publish(storage, "first")

    assert describe_runs(storage).splitlines() == [
        "first: done",
        *(f"  {step:<18} {artifact.key:<32} done" for step, artifact in made.items()),
    ]


def test_a_run_whose_process_ended_is_interrupted_and_says_how_far_it_is(storage, made):
    unfinish(storage)
    attempt().publish(storage, "first")

    lines = describe_runs(storage).splitlines()

    assert lines[0] == "first: interrupted; run the same command again"
    assert lines[1].endswith(" done")
    assert lines[3] == f"  selection          {made['selection'].key:<32} 1 of 2 shards"


def test_a_run_whose_process_lives_is_running(storage, made):
    unfinish(storage)
    began = psutil.Process().create_time()
    attempt(pid=os.getpid(), started=began).publish(storage, "first")

    assert describe_runs(storage).splitlines()[0] == f"first: running (process {os.getpid()})"


def test_a_process_that_only_has_the_same_number_does_not_count(storage, made):
    unfinish(storage)
    began = psutil.Process().create_time() - 60
    attempt(pid=os.getpid(), started=began).publish(storage, "first")

    assert describe_runs(storage).startswith("first: interrupted")


def test_of_another_machine_nothing_is_known_but_its_name(storage, made):
    unfinish(storage)
    began = psutil.Process().create_time()
    attempt(started=began - 60).publish(storage, "first")
    attempt(host="gpu-7", pid=os.getpid(), started=began).publish(storage, "first")

    assert describe_runs(storage).splitlines()[0] == "first: not done; last worked on by gpu-7"


def test_a_prefect_that_does_not_answer_is_named_after_what_the_artifacts_say(storage, made):
    attempt().publish(storage, "first")
    with socket.socket() as unused:  # bound and never listening: nobody else can take the port
        unused.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{unused.getsockname()[1]}/api"
        with temporary_settings({PREFECT_API_URL: address}):
            lines = describe_runs(storage).splitlines()

    assert lines[0] == "first: done"
    assert len(lines) == 5
    assert lines[-1].startswith(f"Prefect at {address} does not answer (ConnectError)")


def test_verify_counts_every_file_of_a_sound_workspace(storage, made):
    published = [path for artifact in made.values() for path in files(artifact)]
    (storage.root / "scores/README").write_text("stray")
    shutil.copytree(storage.path(made["corpus"].key), f"{storage.path(made['corpus'].key)}.aside")
    (storage.root / "runs/empty").mkdir()
    (storage.root / "runs/first/attempts").mkdir()
    (storage.root / "runs/first/attempts/notes.txt").write_text("stray")
    num_bytes = sum(path.stat().st_size for path in published)

    assert verify_artifacts(storage) == (
        f"{storage.root}: {len(published)} files, {num_bytes:,} bytes: every hash is right"
    )
    assert len(published) == 10  # corpus 2 + vocabulary and rejected, scores 2, selection 2 x 2


def test_verify_of_an_interrupted_run_is_sound(storage, made):
    unfinish(storage)

    assert ": 8 files, " in verify_artifacts(storage)  # two are of the shard without a receipt


def test_a_shard_is_checked_by_the_commit_even_if_every_receipt_is_gone(storage, made):
    shutil.rmtree(storage.path(f"{made['scores.base'].key}/receipts"))
    damaged = files(made["scores.base"])[1]
    damaged.write_bytes(damaged.read_bytes() + b"x")

    lines = damages(storage)

    assert [line.split(": ")[0].rsplit("/", 2)[-2:] for line in lines] == [
        ["receipts", "00000.json"],
        ["receipts", "00001.json"],
        ["shards", damaged.name],
    ]
    assert all("is missing, but COMMIT.json lists it" in line for line in lines[:2])
    assert "its content changed" in lines[2]


def edit(path: Path, change, seal: bool) -> None:
    document = json.loads(path.read_bytes())
    change(document["content"])
    if seal:
        document["sha256"] = sha256_hex(canonical_json(document["content"])[:-1])
    path.write_bytes(canonical_json(document))


def test_an_edited_commit_is_named_and_all_else_still_checked(storage, made):
    corpus, selection = (
        storage.path(f"{made[step].key}/COMMIT.json") for step in ("corpus", "selection")
    )
    last = files(made["selection"])[-1]
    edit(corpus, lambda d: d["notes"].update(duplicates={"0": [0, 1, 2, 3, 4]}), seal=False)
    edit(selection, lambda d: d["totals"].update(kept_tokens=11), seal=False)
    flip(last)

    lines = damages(storage)

    assert [line.split(": ")[0] for line in lines] == [str(corpus), str(selection), str(last)]


def test_a_receipt_that_is_sealed_and_not_the_one_of_the_commit_is_named(storage, made):
    receipt = storage.path(f"{made['scores.base'].key}/receipts/00000.json")
    edit(receipt, lambda d: d["counts"].update(non_finite_tokens=7), seal=True)

    [line] = damages(storage)

    assert line.startswith(f"{receipt}: the whole file: says ")


@pytest.mark.parametrize("step", ["corpus", "scores.base", "selection"])
@pytest.mark.parametrize("damage", ["flip", "missing"])
def test_every_file_of_every_kind_is_checked(storage, made, step, damage):
    for path in files(made[step]):
        data = path.read_bytes()
        flip(path) if damage == "flip" else path.unlink()

        [line] = damages(storage)

        assert line.startswith(f"{path}: ")
        path.write_bytes(data)
    assert "every hash is right" in verify_artifacts(storage)


DOCUMENTS = {
    "runs/first/RUN.json": "sha256: is not that of the content",
    "runs/first/round-000.json": "sha256: is not that of the content",
    "runs/first/round-000-plan.json": "sha256: is not that of the content",
    "{corpus}/PLAN.json": "does not hash to the name of its directory",
    "{selection}/COMMIT.json": "sha256: is not that of the content",
}


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_document_that_was_altered_is_named(storage, made, name):
    path = storage.path(name.format(**{step: made[step].key for step in ("corpus", "selection")}))
    flip(path)

    assert damages(storage)[0].startswith(f"{path}: {DOCUMENTS[name]}")


@pytest.mark.parametrize(
    "name", ["runs/first/RUN.json", "{corpus}/PLAN.json", "{corpus}/COMMIT.json"]
)
def test_every_document_that_is_missing_is_named(storage, made, name):
    path = storage.path(name.format(corpus=made["corpus"].key))
    path.unlink()

    [line] = damages(storage)

    assert line.startswith(f"{path}: is missing, but ")


def test_an_artifact_of_a_run_that_is_gone_altogether_is_missed(storage, made):
    shutil.rmtree(storage.path(made["selection"].key))

    [line] = damages(storage)

    assert line.startswith(f"{storage.path(made['selection'].key)}/PLAN.json: is missing")


def test_a_file_that_cannot_be_read_is_damage_and_not_the_end(storage, made):
    first, *_, last = files(made["corpus"])
    first.unlink()
    first.mkdir()
    last.unlink()

    lines = damages(storage)

    assert [line.split(": ")[0] for line in lines] == [str(first), str(last)]


def test_an_edited_attempt_is_named_by_verify_and_by_status(storage, made):
    attempt().publish(storage, "first")
    [path] = storage.root.glob("runs/first/attempts/*.json")
    flip(path)

    [line] = damages(storage)

    assert line.startswith(f"{path}: sha256: ")
    with pytest.raises(DamagedError, match=str(path)):
        describe_runs(storage)


def test_verify_names_the_first_twenty_and_counts_the_rest(storage):
    make_corpus(storage, [[Sample(f"s{n}", "one", (0, 1))] for n in range(25)])
    for path in storage.root.glob("corpora/*/shards/*.parquet"):
        path.unlink()

    with pytest.raises(DamagedError) as raised:
        verify_artifacts(storage)

    first, *named, last = str(raised.value).splitlines()
    assert first == f"{storage.root}: damaged: 25"
    assert (len(named), last) == (20, "  and 5 more")


def test_the_command_leaves_with_seven_if_anything_is_damaged(storage, made, capsys):
    flip(files(made["corpus"])[0])

    with pytest.raises(SystemExit) as left:
        main(["verify", "--workspace", str(storage.root)])

    assert left.value.code == 7
    assert files(made["corpus"])[0].name in capsys.readouterr().err


def test_a_run_without_any_attempt_is_interrupted(storage, made):
    unfinish(storage)

    assert describe_runs(storage).startswith("first: interrupted; run the same command again\n")


def steps_of(run, storage) -> list[list[str]]:
    """Return a line for each finished artifact of each round."""
    return [
        [f"    {step:<18} {artifact.key:<32} done" for step, artifact in made.items()]
        for made in (round.artifacts(storage) for round in run.planned_rounds(storage))
    ]


def test_a_run_of_several_rounds_tells_how_each_of_them_ended(storage):
    run, corpus = begin_evolving_run(storage)
    finish_first_round(run, corpus)
    finish_second_round(run, corpus)
    first, second = steps_of(run, storage)

    assert describe_runs(storage).splitlines() == [
        "evolve-1: between rounds; the same command does the next",
        f"  corpus.drop        {corpus.key:<32} done",
        "  rounds             2 of at most 3 done",
        "  round 0: promoted (the first reference)",
        *first,
        "  round 1: rejected (worse)",
        *second,
    ]


def test_a_run_that_was_interrupted_in_a_later_round_says_so_and_what_is_missing(storage):
    run, corpus = begin_evolving_run(storage)
    finish_first_round(run, corpus)
    round = finish_second_round(run, corpus)
    storage.path("runs/evolve-1/round-001.json").unlink()
    storage.path(f"models/{round.model}/COMMIT.json").unlink()

    lines = describe_runs(storage).splitlines()

    assert lines[0] == "evolve-1: interrupted; run the same command again"
    assert lines[2] == "  rounds             1 of at most 3 done"
    assert "  round 1: not done" in lines
    assert lines[-1] == f"    model              models/{round.model}          not done"


def test_a_run_that_was_stopped_is_done_and_says_why(storage):
    run, corpus = begin_evolving_run(storage)
    finish_first_round(run, corpus)
    run.stop(storage, "no gain in 2 rounds")

    lines = describe_runs(storage).splitlines()

    assert lines[0] == "evolve-1: done; stopped: no gain in 2 rounds"
    assert lines[2] == "  rounds             1 of at most 3 done"


def test_a_run_of_which_no_round_was_begun_shows_its_corpora(storage):
    _, corpus = begin_evolving_run(storage)

    assert describe_runs(storage).splitlines() == [
        "evolve-1: interrupted; run the same command again",
        f"  corpus.drop        {corpus.key:<32} done",
        "  rounds             0 of at most 3 done",
    ]


def test_a_run_of_one_round_that_was_not_begun_says_so(storage):
    begin_run(storage, "first")

    assert describe_runs(storage).splitlines() == [
        "first: interrupted; run the same command again",
        "  not begun yet",
    ]


def test_a_comparison_tells_how_many_of_its_arms_are_done(storage):
    run, arm = begin_comparison(storage)
    shown = []
    for name, seed in run.planned_arms:
        run.finish_arm(storage, arm.model_copy(update={"arm": name, "seed": seed}))
        lines = describe_runs(storage).splitlines()
        shown.append((lines[0], lines[-1]))

    assert [line.split(maxsplit=1)[0] for line in lines[1:]] == [
        "corpus.drop",
        "corpus.holdout",
        "arms",
    ]
    interrupted = "compare-1: interrupted; run the same command again"
    assert shown == [
        (interrupted, "  arms               1 of 4 done"),
        (interrupted, "  arms               2 of 4 done"),
        (interrupted, "  arms               3 of 4 done"),
        ("compare-1: done", "  arms               4 of 4 done"),
    ]


def test_the_runs_last_worked_on_come_first_and_the_others_are_counted(storage, made):
    for number in range(5):
        step = (made["corpus"], {"base": made["scores.base"]}, made["selection"])
        finish_run(storage, f"run-{number}", [step])
        attempt(started=1000.0 + number).publish(storage, f"run-{number}")

    shown = describe_runs(storage, 2).splitlines()
    everything = describe_runs(storage, None)

    assert [line for line in shown if line[0] != " "] == [
        "run-4: done",
        "run-3: done",
        "and 4 more, last worked on before: --all shows them",
    ]
    assert everything.splitlines()[-4].startswith("first: done")
