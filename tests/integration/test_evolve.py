"""Rounds of score, select and train: at once, one by one, and after the last of them."""

import shutil

import pytest

from flows.cli import main
from flows.evolve import evolve
from tests.drops import write_drop
from tests.reading import rows
from tests.workspaces import published
from tokensieve.artifact import load_artifact
from tokensieve.errors import SettingsError
from tokensieve.runs import load_run
from tokensieve.settings import EvolveSettings
from tokensieve.storage import LocalStorage
from tokensieve.timings import timings

pytestmark = pytest.mark.usefixtures("prefect_server", "ray_cluster")

FLAGS = [
    *("--template", "tulu", "--workers", "2", "--rounds", "2", "--select-from", "corpus"),
    *("--tuning", "lora", "--learning-rate", "0.01", "--step-samples", "8", "--epochs", "2"),
]


@pytest.fixture(scope="module")
def drop(tmp_path_factory):
    directory = tmp_path_factory.mktemp("drop")
    write_drop(directory / "holdout.jsonl", num_rows=12, seed=1)
    return write_drop(directory / "drop.jsonl", num_rows=37)


def settings(models, drop, workspace, **changes) -> EvolveSettings:
    """Return what FLAGS say, too."""
    values = {
        "files": (str(drop),),
        "holdout": (str(drop.with_name("holdout.jsonl")),),
        "base": models.base,
        "workspace": str(workspace),
        "corpus": {"template": "tulu"},
        "rounds": {"rounds": 2, "select_from": "corpus"},
        "training": {"learning_rate": 0.01, "step_samples": 8, "epochs": 2},
        "cluster": {"workers": 2},
    }
    return EvolveSettings(**{**values, **changes})


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    return tmp_path_factory.mktemp("workspace")


@pytest.fixture(scope="module")
def evolved(models, drop, workspace, prefect_server, ray_cluster):
    return evolve(settings(models, drop, workspace))


@pytest.fixture
def without_models(monkeypatch):
    """Let no forward pass and no training begin."""
    for task in ("scoring", "training"):
        monkeypatch.setattr(f"tasks.{task}.connect", None)


def test_every_round_is_done_and_the_last_promoted_model_is_the_reference(evolved, workspace):
    storage = LocalStorage(workspace)
    run = load_run(storage, evolved.run)
    finished = run.finished_rounds(storage)
    last = next(each for each in reversed(finished) if each.outcome.promoted)

    assert run.is_finished(storage)
    assert [each.round.round for each in finished] == [0, 1, 2]
    assert f"models/{last.round.model}/model-" in evolved.places["reference"]
    assert finished[0].outcome.loss_after < finished[0].outcome.loss_before - 0.5  # nats
    assert evolved.history.splitlines()[0] == evolved.run


def test_the_index_knows_the_rounds_their_steps_and_what_they_cost(evolved, workspace):
    storage = LocalStorage(workspace)
    run = load_run(storage, evolved.run)
    finished = run.finished_rounds(storage)
    outcomes = [each.outcome for each in finished]

    assert rows(
        storage, "SELECT round, model, promoted, loss_before, loss_after FROM rounds ORDER BY round"
    ) == [
        (number, each.round.model, outcome.promoted, outcome.loss_before, outcome.loss_after)
        for number, (each, outcome) in enumerate(zip(finished, outcomes, strict=True))
    ]
    # 12 of 37 samples in the warm-up, all of them later; two epochs in steps of 8
    assert rows(
        storage,
        "SELECT round, count(*) FROM training_steps JOIN rounds USING (model)"
        " GROUP BY ALL ORDER BY ALL",
    ) == [(0, 4), (1, 10), (2, 10)]
    assert rows(
        storage, "SELECT round, step FROM step_costs WHERE seconds IS NOT NULL ORDER BY ALL"
    ) == [
        *((0, step) for step in ("corpus", "model", "selection")),
        *(
            (number, step)
            for number in (1, 2)
            for step in ("corpus", "model", "scores.base", "scores.reference", "selection")
        ),
    ]


def test_the_selections_of_two_rounds_are_compared_where_they_share_samples(evolved, workspace):
    found = rows(
        LocalStorage(workspace),
        "SELECT round, shared_tokens, overlap FROM overlap_stats WHERE source IS NULL ORDER BY 1",
    )
    tokens = rows(LocalStorage(workspace), "SELECT response_tokens FROM round_stats ORDER BY round")

    assert [(number, shared) for number, shared, _ in found] == [
        (1, tokens[0][0]),  # the warm-up's part is in the corpus
        (2, tokens[1][0]),
    ]
    assert all(0 < overlap <= 1 for _, _, overlap in found)


def test_the_base_is_scored_once_for_all_rounds(evolved, workspace):
    storage = LocalStorage(workspace)
    rounds = load_run(storage, evolved.run).planned_rounds(storage)
    [base] = {each.scores["base"] for each in rounds[1:]}

    assert len(timings(load_artifact(storage, "scores", base))) == 1


def test_a_second_call_does_no_work(evolved, models, drop, workspace, without_models):
    before = published(workspace)

    assert evolve(settings(models, drop, workspace)) == evolved
    assert published(workspace) == before


def test_the_next_round_as_often_as_there_are_rounds_gives_the_very_bytes(
    evolved, models, drop, workspace, tmp_path, capsys
):
    arguments = [
        *("evolve", str(drop), "--holdout", str(drop.with_name("holdout.jsonl")), *FLAGS),
        *("--base", models.base, "--workspace", str(tmp_path), "--next-round"),
    ]
    done = []
    for _ in range(4):  # the last time there is nothing left
        with pytest.raises(SystemExit) as left:
            main(arguments)
        assert left.value.code == 0
        done.append(len(list(tmp_path.glob(f"runs/{evolved.run}/round-???.json"))))

    assert done == [1, 2, 3, 3]
    assert (
        evolved.history.splitlines()[2].split() == capsys.readouterr().out.splitlines()[2].split()
    )
    assert published(tmp_path) == published(workspace)
    assert published(tmp_path).keys() == published(workspace).keys()


def test_a_run_without_gains_stops_and_says_so_even_if_its_end_was_lost(
    models, drop, tmp_path, capsys
):
    """A rate so small that no weight moves: the first round after the warm-up is the last."""
    idle = settings(
        models,
        drop,
        tmp_path,
        rounds={"rounds": 3, "patience": 1},
        training={"learning_rate": 1e-30, "step_samples": 8},
    )

    stopped = evolve(idle)

    before = published(tmp_path)
    said = capsys.readouterr().err
    assert "round 1: promoted (held-out loss +0.0000 nats)" in said
    assert f"{stopped.run}: stopped: no gain in held-out loss in 1 rounds (best: " in said
    assert len(list(tmp_path.glob("runs/*/round-???.json"))) == 2
    (tmp_path / f"runs/{stopped.run}/STOPPED.json").unlink()  # a crash came before it,
    shutil.rmtree(tmp_path / "index")  # and before the index
    assert evolve(idle) == stopped
    assert published(tmp_path) == before


def test_more_rounds_than_samples_are_refused(models, drop, tmp_path):
    with pytest.raises(SettingsError, match="37 samples, too few for 41 parts"):
        evolve(settings(models, drop, tmp_path, rounds={"rounds": 40}))
