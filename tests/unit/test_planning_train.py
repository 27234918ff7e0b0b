"""The plan of a training: which selection, which model, and what its id depends on."""

import shutil

import pytest

from tests.tiny_models import build_tiny_model
from tests.tiny_plans import commit_corpus, commit_model, end_round, make_inputs
from tokensieve.errors import InputError, SettingsError
from tokensieve.models import ModelPlace
from tokensieve.planning import (
    TrainPlan,
    check_train_given,
    model_spec,
    plan_clean,
    plan_evolve,
    plan_train,
)
from tokensieve.planning.steps import evaluation_step, scoring_step
from tokensieve.settings import (
    CleanSettings,
    ClusterSettings,
    EvaluationSettings,
    EvolveSettings,
    S3Settings,
    ScoringSettings,
    TrainSettings,
)
from tokensieve.storage import LocalStorage

NO_ID = "0123456789abcdef"


@pytest.fixture(scope="module")
def given(tmp_path_factory):
    return make_inputs(tmp_path_factory.mktemp("given"))


@pytest.fixture(scope="module")
def cleaned(given):
    """Return the plan of a cleaning in a workspace where its round is finished."""
    settings = CleanSettings(
        files=(given.drop,),
        base=given.base,
        workspace=str(given.directory / "workspace"),
        corpus={"template": "tulu"},
        selection={"method": "full"},
    )
    plan = plan_clean(settings, on_gpu=False)
    plan.declare()
    commit_corpus(plan.corpus)
    selection = plan.selection.artifact
    for shard in range(selection.num_shards):
        selection.publish(shard, {}, {"tokens": 1})
    selection.commit()
    plan.run.finish_round(plan.storage, plan.round)
    return plan


def planned(given, cleaned, **changes) -> TrainPlan:
    values = {
        "base": given.base,
        "workspace": str(cleaned.storage.root),
        "selection": cleaned.selection.artifact.id,
    }
    return plan_train(TrainSettings(**{**values, **changes}), on_gpu=False)


def model_id(given, cleaned, **changes) -> str:
    return planned(given, cleaned, **changes).training.artifact.id


def test_a_training_is_a_run_of_one_round_named_after_its_model(given, cleaned):
    plan = planned(given, cleaned)
    model = plan.training.artifact

    assert plan.run.name == f"train-{model.id[:8]}"
    assert (plan.run.flow, plan.run.num_rounds) == ("train", 1)
    assert plan.round.corpus == cleaned.corpus.artifact.id
    assert plan.round.selection == model.plan["selection"] == cleaned.selection.artifact.id
    assert plan.round.model == model.id
    assert not model.storage.exists(f"{model.key}/PLAN.json")


@pytest.mark.parametrize("form", ["id", "path", "path with a slash", "run"])
def test_a_selection_is_given_by_its_id_its_path_or_its_run(given, cleaned, form):
    selection = cleaned.selection.artifact
    path = cleaned.storage.path(selection.key)
    names = {
        "id": selection.id,
        "path": str(path),
        "path with a slash": f"{path}/",
        "run": cleaned.run.name,
    }

    plan = planned(given, cleaned, selection=names[form])

    assert plan.training.selection.id == selection.id


def test_the_name_of_a_run_means_the_selection_of_its_last_finished_round(given, tmp_path):
    settings = EvolveSettings(
        files=(given.drop,),
        base=given.base,
        workspace=str(tmp_path),
        corpus={"template": "tulu"},
        rounds={"rounds": 2},
    )
    evolution = plan_evolve(settings, on_gpu=False)
    evolution.declare()
    commit_corpus(evolution.corpora["drop"])
    rounds = [end_round(evolution) for _ in range(2)]
    for each in rounds:
        for shard in range(each.selection.artifact.num_shards):
            each.selection.artifact.publish(shard, {}, {"tokens": 1})
        each.selection.artifact.commit()

    plan = plan_train(
        TrainSettings(base=given.base, workspace=str(tmp_path), selection=evolution.run.name),
        on_gpu=False,
    )

    assert plan.round.selection == rounds[1].round.selection
    assert plan.round.corpus == rounds[1].part.artifact.id
    assert plan.round.scores == rounds[1].round.scores


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (NO_ID, "there is no finished selection '0123456789abcdef'"),
        ("full-1234567", "there is no selection and no run with a finished round called"),
        ("nothing like it", "`tokensieve status` shows those that are there"),
        ("../../etc", "`tokensieve status` shows those that are there"),
        ("", "called ''"),
    ],
)
def test_a_selection_that_is_not_there_is_refused(given, cleaned, name, message):
    with pytest.raises(SettingsError, match=message):
        planned(given, cleaned, selection=name)


def test_a_misspelt_run_is_told_its_nearest_name(given, cleaned):
    wrong = cleaned.run.name[:-1] + "x"

    with pytest.raises(SettingsError, match=f"Did you mean {cleaned.run.name}\\?"):
        planned(given, cleaned, selection=wrong)


def test_a_selection_that_is_not_finished_is_refused(given, cleaned, tmp_path):
    shutil.copytree(cleaned.storage.root, tmp_path / "w")
    selection = cleaned.selection.artifact
    (tmp_path / "w" / selection.key / "COMMIT.json").unlink()

    for name in (selection.id, cleaned.run.name):
        with pytest.raises(SettingsError, match="there is no finished selection"):
            planned(given, cleaned, selection=name, workspace=str(tmp_path / "w"))


def test_the_first_look_refuses_the_same_selection(given, cleaned):
    settings = TrainSettings(base=given.base, workspace=str(cleaned.storage), selection=NO_ID)

    with pytest.raises(SettingsError) as looked:
        check_train_given(settings)
    with pytest.raises(SettingsError) as refused:
        plan_train(settings, on_gpu=False)

    assert str(looked.value) == str(refused.value)
    check_train_given(settings.model_copy(update={"selection": cleaned.run.name}))


def test_a_model_with_another_tokenizer_than_the_corpus_is_refused(given, cleaned, tmp_path):
    other = str(build_tiny_model(tmp_path / "other", seed=3, vocab_size=300, hidden=16))

    with pytest.raises(SettingsError, match="other: has another tokenizer than the one that made"):
        planned(given, cleaned, base=other)
    with pytest.raises(InputError, match="other"):
        planned(given, cleaned, init=other)


def test_training_starts_from_the_base_or_from_a_model_that_is_given(given, cleaned):
    base, other = planned(given, cleaned), planned(given, cleaned, init=given.reference)

    assert (base.training.init.path, other.training.init.path) == (given.base, given.reference)
    assert base.training.artifact.id != other.training.artifact.id
    assert other.training.artifact.plan["init"] == other.training.init.fingerprint


def test_a_model_of_the_workspace_is_given_by_its_id_or_its_directory(
    given, cleaned, monkeypatch, tmp_path
):
    model = planned(given, cleaned).training.artifact
    commit_model(model, given.base, "trained before")
    monkeypatch.chdir(tmp_path)

    plans = [
        planned(given, cleaned, init=init)
        for init in (model.id, str(cleaned.storage.path(model.key)))
    ]

    folder = model.folder(model.committed().receipts[0], "model")
    assert [plan.training.init.path for plan in plans] == [folder, folder]
    assert [plan.training.artifact.plan["init"] for plan in plans] == ["trained before"] * 2


@pytest.mark.parametrize("name", ["a model", ".hidden", "mod\u00e8le", NO_ID])
def test_a_directory_of_any_name_may_be_the_model_to_start_from(given, cleaned, tmp_path, name):
    shutil.copytree(given.reference, tmp_path / name)

    plan = planned(given, cleaned, init=str(tmp_path / name))

    assert plan.training.init.path == str(tmp_path / name)


def test_a_model_that_is_not_there_is_refused(given, cleaned):
    with pytest.raises(InputError, match="nowhere: is not a directory"):
        planned(given, cleaned, init="/nowhere")


@pytest.mark.parametrize(
    "changes",
    [
        {"cluster": {"workers": 3, "ranks": 2, "fsdp": True}},
        {"training": {"checkpoint_minutes": 0}},
        {"training": {"tuning": "lora", "learning_rate": 1e-4}},
    ],
)
def test_what_does_not_change_the_numbers_does_not_change_the_id(given, cleaned, changes):
    assert model_id(given, cleaned, **changes) == model_id(given, cleaned)


def test_the_id_of_a_model_does_not_depend_on_the_workspace(given, cleaned, tmp_path):
    shutil.copytree(cleaned.storage.root, tmp_path / "moved")

    moved = model_id(given, cleaned, workspace=str(tmp_path / "moved"))

    assert moved == model_id(given, cleaned)


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 1},
        {"learning_rate": 2e-4},
        {"tuning": "full"},
        {"lora": {"rank": 8}},
        {"precision": "bfloat16"},
        {"epochs": 2},
        {"step_samples": 8},
        {"batch_tokens": 64},
        {"normaliser": "all-tokens"},
        {"schedule": "cosine"},
        {"warmup": 0.1},
        {"clip_norm": 1.0},
    ],
)
def test_what_changes_the_numbers_changes_the_id(given, cleaned, change):
    fixed = {"precision": "float32"}

    assert model_id(given, cleaned, training=fixed | change) != model_id(
        given, cleaned, training=fixed
    )


def test_the_plan_of_a_training_is_declared_with_its_run_and_round(given, cleaned, tmp_path):
    shutil.copytree(cleaned.storage.root, tmp_path / "w")
    plan = planned(given, cleaned, workspace=str(tmp_path / "w"))

    plan.declare()

    storage = LocalStorage(tmp_path / "w")
    assert storage.exists(f"{plan.training.artifact.key}/PLAN.json")
    assert plan.run.planned_rounds(storage) == [plan.round]
    assert plan.run.finished_rounds(storage) == []


def test_files_beside_the_weights_are_part_of_models_and_evaluations_and_not_of_scores(
    given, cleaned, tmp_path
):
    other = shutil.copytree(given.base, tmp_path / "other")
    (other / "generation_config.json").write_text('{"temperature": 0.5}')
    corpus, cluster = cleaned.corpus.artifact, ClusterSettings()
    places = [ModelPlace(str(path), S3Settings()) for path in (given.base, other)]
    specs = [model_spec(place, "float32", on_gpu=False) for place in places]

    scores = [scoring_step(corpus, "base", spec, ScoringSettings(), cluster) for spec in specs]
    answers = [evaluation_step(corpus, spec, EvaluationSettings(), cluster) for spec in specs]
    models = [model_id(given, cleaned, base=spec.path) for spec in specs]

    assert scores[0].artifact.id == scores[1].artifact.id
    assert answers[0].artifact.id != answers[1].artifact.id
    assert models[0] != models[1]
