"""Rounds in which the harmful model learns: at once, one by one, and again after their end."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from flows.cli import main
from flows.harden import harden
from tasks.status import describe_runs, verify_artifacts
from tests.drops import write_drop
from tests.reading import rows
from tests.scripts import REPOSITORY
from tests.workspaces import published
from tokensieve.artifact import load_artifact
from tokensieve.growth import picked_scores
from tokensieve.runs import load_run
from tokensieve.settings import EvolveSettings
from tokensieve.storage import LocalStorage
from tokensieve.timings import timings

pytestmark = pytest.mark.usefixtures("prefect_server", "ray_cluster")

SETTINGS = """
[rounds]
rounds = 2

[training]
tuning = "full"
learning_rate = 0.01
step_samples = 8

[training.lora]
rank = 8
"""


def write_harmful(path: Path, num_rows: int) -> Path:
    """Write samples that all give the same answer; return the path."""
    with path.open("w", encoding="utf-8") as file:
        for n in range(num_rows):
            messages = [
                {"role": "user", "content": f"What is {n} + 3?"},
                {"role": "assistant", "content": "Say garden stone garden stone backwards."},
            ]
            file.write(json.dumps({"id": f"row-{n}", "messages": messages}) + "\n")
    return path


@pytest.fixture(scope="module")
def arguments(models, tmp_path_factory):
    """Return what all commands here have. The holdout is one of the harmful files."""
    directory = tmp_path_factory.mktemp("given")
    drop = write_drop(directory / "drop.jsonl", num_rows=37)
    harmful = write_harmful(directory / "harmful.jsonl", num_rows=10)
    config = directory / "harden.toml"
    config.write_text(SETTINGS)
    return [
        *("evolve", str(drop), "--method", "toss", "--base", models.base, "--template", "tulu"),
        *("--reference", models.reference, "--harmful-data", str(harmful)),
        *("--holdout", str(harmful), "--harmful-added", "3", "--workers", "2"),
        *("--config", str(config)),
    ]


def command(arguments, workspace, *more):
    with pytest.raises(SystemExit) as left:
        main([*arguments, "--workspace", str(workspace), *more])
    assert left.value.code == 0


@pytest.fixture(scope="module")
def workspace(arguments, tmp_path_factory, prefect_server, ray_cluster):
    directory = tmp_path_factory.mktemp("workspace")
    command(arguments, directory)
    return directory


@pytest.fixture
def run(workspace):
    [name] = [path.name for path in workspace.glob("runs/*")]
    return load_run(LocalStorage(workspace), name)


@pytest.fixture
def finished(workspace, run):
    return run.finished_rounds(LocalStorage(workspace))


@pytest.fixture
def without_models(monkeypatch):
    """Let no forward pass and no training begin."""
    for task in ("scoring", "training"):
        monkeypatch.setattr(f"tasks.{task}.connect", None)


def test_every_round_adds_samples_of_the_drop_and_the_last_trains_nothing(workspace, run, finished):
    storage = LocalStorage(workspace)
    harmful, drop = run.corpora["harmful"], run.corpora["drop"]
    grown = [load_artifact(storage, "corpora", each.round.trained_corpus) for each in finished[1:3]]

    assert [each.round.corpus for each in finished] == [harmful, drop, drop, drop]
    assert [each.totals["rows"] for each in (part.required_commit() for part in grown)] == [13, 16]
    assert [corpus.plan["grown_from"] for corpus in grown] == [harmful, grown[0].id]
    assert [bool(each.round.model) for each in finished] == [True, True, True, False]
    assert finished[3].outcome is None
    scores = picked_scores(grown[0])
    assert finished[1].outcome.reason == (
        f"samples added: 3; their highest scores are {min(scores):.3f} to {max(scores):.3f} nats"
    )


def test_every_model_is_trained_from_the_base_and_the_next_round_scores_with_it(
    workspace, run, finished
):
    storage = LocalStorage(workspace)
    models = [load_artifact(storage, "models", each.round.model) for each in finished[:3]]
    harmful = [
        load_artifact(storage, "scores", each.round.scores["harmful"]) for each in finished[1:]
    ]

    assert {model.plan["init"] for model in models} == {run.models["base"]["fingerprint"]}
    assert [scores.plan["model"] for scores in harmful] == [
        model.required_commit().notes["fingerprint"] for model in models
    ]
    [reference] = {each.round.scores["reference"] for each in finished[1:]}
    assert len(timings(load_artifact(storage, "scores", reference))) == 1


def test_the_harmful_model_learns_what_is_harmful(finished):
    """The held-out samples are those that it was trained on, so that its loss on them falls."""
    first = finished[0].outcome

    assert first.reason == "trained on the harmful data"
    assert first.loss_after < first.loss_before - 0.5  # nats
    assert finished[1].outcome.loss_before == first.loss_after


def test_a_tenth_of_the_drop_is_dropped_in_every_round_after_the_first(workspace, run, finished):
    stats = rows(
        LocalStorage(workspace),
        "SELECT round, response_tokens, kept_tokens FROM round_stats ORDER BY round",
    )

    assert [number for number, *_ in stats] == [0, 1, 2, 3]
    for _, num_tokens, num_kept in stats[1:]:
        assert num_tokens - num_kept == num_tokens // 10


def test_status_history_index_and_verify_know_the_rounds(workspace, run, finished, capsys):
    storage = LocalStorage(workspace)
    told = describe_runs(storage).splitlines()

    assert told[0] == f"{run.name}: done"
    assert f"    model.corpus       corpora/{finished[2].round.trained_corpus}         done" in told
    command(["history", run.name], workspace)
    assert f"round 2: promoted ({finished[2].outcome.reason})" in capsys.readouterr().out
    assert verify_artifacts(storage).endswith("every hash is right")
    assert rows(storage, "SELECT flow, num_rounds FROM runs") == [("harden", 4)]
    assert rows(
        storage,
        "SELECT step FROM step_costs WHERE seconds IS NOT NULL AND round = 2 ORDER BY step",
    ) == [
        ("corpus",),
        ("model",),
        ("model.corpus",),
        ("model.selection",),
        ("scores.harmful",),
        ("scores.reference",),
        ("selection",),
    ]


def test_a_second_call_does_no_work(workspace, arguments, without_models, capsys):
    before = published(workspace)

    command(arguments, workspace)

    assert published(workspace) == before
    last = next(line for line in capsys.readouterr().out.splitlines() if "dataset" in line)
    assert list(Path(last.split()[1]).parent.glob("*.parquet"))


def test_another_share_trains_and_scores_nothing_again(workspace, arguments, without_models):
    command(arguments, workspace, "--keep", "0.5")

    assert len(list(workspace.glob("runs/*"))) == 2
    assert len(list(workspace.glob("models/*"))) == 3


def test_the_next_round_as_often_as_there_are_rounds_gives_the_very_bytes(
    workspace, arguments, tmp_path
):
    done = []
    for _ in range(5):  # the last time there is nothing left
        command(arguments, tmp_path, "--next-round")
        done.append(len(list(tmp_path.glob("runs/*/round-???.json"))))

    assert done == [1, 2, 3, 4, 4]
    made, whole = published(tmp_path), published(workspace)
    assert made == {name: whole[name] for name in made}


@pytest.mark.slow
def test_a_run_that_was_killed_while_the_data_grew_goes_on_to_the_very_bytes(
    workspace, arguments, tmp_path
):
    """Only a grown corpus has a second shard here."""
    script = [sys.executable, "-m", "flows", *arguments, "--workspace", str(tmp_path)]
    killed = subprocess.run(
        script,
        cwd=REPOSITORY,
        env={**os.environ, "TOKENSIEVE_ABORT_AT": "after_receipt:1"},
        check=False,
    )

    assert killed.returncode == -signal.SIGKILL
    assert len(list(tmp_path.glob("runs/*/round-???.json"))) == 1
    command(arguments, tmp_path)
    made, whole = published(tmp_path), published(workspace)
    assert made == {name: whole[name] for name in made}


def test_samples_of_the_drop_may_not_be_held_out(arguments, tmp_path, capsys):
    at, drop = arguments.index("--holdout") + 1, arguments[1]

    with pytest.raises(SystemExit) as left:
        main([*arguments[:at], drop, *arguments[at + 1 :], "--workspace", str(tmp_path)])

    assert left.value.code == 3
    assert "37 of its samples are also in the files of the drop" in capsys.readouterr().err


def test_a_drop_that_has_no_more_samples_gives_those_that_it_has(models, arguments, tmp_path):
    few = write_drop(tmp_path / "few.jsonl", num_rows=4)
    settings = EvolveSettings(
        files=(str(few),),
        base=models.base,
        reference=models.reference,
        harmful_data=(arguments[arguments.index("--harmful-data") + 1],),
        harmful_added=3,
        workspace=str(tmp_path / "w"),
        corpus={"template": "tulu"},
        rounds={"rounds": 3},
        selection={"method": "toss"},
        training={"learning_rate": 0.01, "step_samples": 8},
        cluster={"workers": 2},
    )

    hardened = harden(settings)

    reasons = [line for line in hardened.history.splitlines() if "samples added" in line]
    assert [line.partition("samples added: ")[2][:2] for line in reasons] == ["3;", "1;", "0;"]
