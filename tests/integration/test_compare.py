"""Arms that are trained and evaluated alike, and share all that they can."""

import pytest

from flows.cli import main
from flows.compare import compare
from flows.evolve import evolve
from tests.drops import write_drop
from tests.reading import rows
from tests.workspaces import ids, published
from tokensieve.artifact import load_artifact
from tokensieve.planning import evolve_settings, plan_compare
from tokensieve.runs import load_run
from tokensieve.settings import CompareSettings
from tokensieve.storage import LocalStorage
from tokensieve.timings import timings

pytestmark = pytest.mark.usefixtures("prefect_server", "ray_cluster")

FEW = ("random", "fixed-model")
ALL = ("full", "random", "fixed-model", "self-evolving")


@pytest.fixture(scope="module")
def drop(tmp_path_factory):
    directory = tmp_path_factory.mktemp("drop")
    write_drop(directory / "holdout.jsonl", num_rows=10, seed=1)
    return write_drop(directory / "drop.jsonl", num_rows=40)


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    return tmp_path_factory.mktemp("workspace")


def settings(models, drop, workspace, arms) -> CompareSettings:
    return CompareSettings(
        files=(str(drop),),
        holdout=(str(drop.with_name("holdout.jsonl")),),
        base=models.base,
        workspace=str(workspace),
        arms=arms,
        seeds=(0,),
        corpus={"template": "tulu"},
        rounds={"rounds": 1},
        training={"learning_rate": 0.01, "step_samples": 8, "lora": {"rank": 4}},
        evaluation={"answer_pattern": "[0-9]+", "max_new_tokens": 2},
        cluster={"workers": 2},
    )


@pytest.fixture(scope="module")
def few(models, drop, workspace, prefect_server, ray_cluster):
    """Compare two arms; return the comparison and what the workspace holds then."""
    comparison = compare(settings(models, drop, workspace, FEW))
    return comparison, {kind: ids(workspace, kind) for kind in ("scores", "models", "corpora")}


@pytest.fixture(scope="module")
def compared(few, models, drop, workspace):
    return compare(settings(models, drop, workspace, ALL))


@pytest.fixture
def without_models(monkeypatch):
    """Let no forward pass and no training begin."""
    for task in ("scoring", "training", "evaluation"):
        monkeypatch.setattr(f"tasks.{task}.connect", None)


def arms_of(workspace, comparison):
    storage = LocalStorage(workspace)
    arms = load_run(storage, comparison.run).finished_arms(storage)
    return {arm.arm: arm for arm in arms}


def test_every_arm_is_measured_and_costed(compared, workspace):
    arms = arms_of(workspace, compared)

    assert list(arms) == list(ALL)
    assert arms["full"].kept_share == 1.0
    assert (
        arms["random"].kept_share == arms["fixed-model"].kept_share == pytest.approx(0.6, abs=0.01)
    )
    assert all(0 < arm.loss < compared.base_loss for arm in arms.values())
    assert all(arm.exact_match is not None for arm in arms.values())
    costs = {name: arm.forward_passes for name, arm in arms.items()}
    assert costs["full"] < costs["fixed-model"]
    assert {name: len(arm.models) for name, arm in arms.items()} == {
        "full": 1,
        "random": 1,
        "fixed-model": 2,  # the warm-up is part of it
        "self-evolving": 2,
    }


def test_the_index_has_the_arms_of_both_comparisons(few, compared, workspace):
    found = rows(LocalStorage(workspace), "SELECT run, arm, seed, loss FROM arms ORDER BY ALL")

    assert found == sorted(
        (comparison.run, name, 0, arm.loss)
        for comparison in (few[0], compared)
        for name, arm in arms_of(workspace, comparison).items()
    )


def test_another_arm_does_nothing_again_and_the_warm_up_is_shared(few, compared, workspace):
    storage, arms = LocalStorage(workspace), arms_of(workspace, compared)
    _, before = few
    first = load_run(storage, compared_run(storage)).finished_rounds(storage)[0].round

    assert arms["self-evolving"].models[0] == arms["fixed-model"].models[0] == first.model
    assert ids(workspace, "models") - before["models"] == {
        *arms["full"].models,
        arms["self-evolving"].models[1],
    }
    for name in FEW:
        assert arms_of(workspace, few[0])[name] == arms[name]


def compared_run(storage) -> str:
    [name] = [name for name in storage.names("runs") if name.startswith("evolve-")]
    return name


def test_the_only_new_scores_are_those_of_the_new_arms(few, compared, workspace):
    """A slice and a reference on the second part; the two new models on the held-out corpus."""
    storage = LocalStorage(workspace)
    new = ids(workspace, "scores") - few[1]["scores"]
    plans = [load_artifact(storage, "scores", id).plan for id in new]
    rounds = load_run(storage, compared_run(storage)).planned_rounds(storage)
    holdout = load_run(storage, compared.run).corpora["holdout"]

    assert len(plans) == 4
    assert sorted(plan["corpus"] for plan in plans) == sorted(
        [rounds[1].corpus, rounds[1].corpus, holdout, holdout]
    )
    assert [plan["of"] for plan in plans if "of" in plan] == [
        plan_of_base(storage, compared, workspace)
    ]


def plan_of_base(storage, comparison, workspace) -> str:
    """Return the id of the base's scores of the whole corpus."""
    drop = load_run(storage, comparison.run).corpora["drop"]
    base = load_run(storage, comparison.run).models["base"]["fingerprint"]
    [found] = [
        id
        for id in ids(workspace, "scores")
        if (plan := load_artifact(storage, "scores", id).plan)["corpus"] == drop
        and plan["model"] == base
    ]
    return found


def test_the_base_is_scored_once_for_all_arms(few, compared, workspace):
    storage = LocalStorage(workspace)
    base = load_artifact(storage, "scores", plan_of_base(storage, compared, workspace))

    assert len(timings(base)) == 1


def test_a_second_call_does_no_work(compared, models, drop, workspace, without_models):
    before = published(workspace)

    again = compare(settings(models, drop, workspace, ALL))

    assert str(again) == str(compared)
    assert published(workspace) == before


def test_the_evolving_arm_is_the_run_that_evolve_does(
    compared, models, drop, workspace, without_models
):
    plan = plan_compare(settings(models, drop, workspace, ALL), on_gpu=False)
    before = published(workspace)

    evolution = evolve(evolve_settings(plan, seed=0))

    assert evolution.run == compared_run(LocalStorage(workspace))
    assert published(workspace) == before


def test_the_command_prints_the_comparison(
    compared, models, drop, workspace, without_models, capsys, tmp_path
):
    config = tmp_path / "compare.toml"
    config.write_text(
        "[rounds]\nrounds = 1\n[training]\nlearning_rate = 0.01\nstep_samples = 8\nlora.rank = 4\n"
    )
    with pytest.raises(SystemExit) as left:
        main(
            [
                *("compare", str(drop), "--holdout", str(drop.with_name("holdout.jsonl"))),
                *("--base", models.base, "--workspace", str(workspace), "--workers", "2"),
                *("--template", "tulu", "--seeds", "0", "--arms", *ALL),
                *("--answer-pattern", "[0-9]+", "--max-new-tokens", "2", "--config", str(config)),
            ]
        )

    assert left.value.code == 0
    assert capsys.readouterr().out == f"{compared}\n"


def test_a_wrong_arm_is_refused_before_a_server_is_started(
    models, drop, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr("flows.commands._prefect", None)
    with pytest.raises(SystemExit) as left:
        main(
            [
                *("compare", str(drop), "--holdout", str(drop), "--base", models.base),
                *("--template", "tulu", "--workspace", str(tmp_path / "w"), "--arms", "rhoo"),
            ]
        )

    assert left.value.code == 2
    assert "tokensieve: arms: there is no arm 'rhoo'." in capsys.readouterr().err
    assert not (tmp_path / "w").exists()
