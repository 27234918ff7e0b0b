"""The plan of a run: ids that change with what changes the result, and with nothing else."""

import shutil
from types import SimpleNamespace

import pytest
from datasets import Dataset

from tests.drops import write_drop
from tests.tiny_models import build_tiny_model
from tokensieve.errors import InputError, ResourceError, SettingsError
from tokensieve.planning import check_given, plan_clean
from tokensieve.settings import CleanSettings


@pytest.fixture(scope="module")
def given(tmp_path_factory):
    directory = tmp_path_factory.mktemp("given")
    return SimpleNamespace(
        base=str(build_tiny_model(directory / "base", seed=1)),
        reference=str(build_tiny_model(directory / "reference", seed=2)),
        drop=str(write_drop(directory / "drop.jsonl", num_rows=20)),
        directory=directory,
    )


def settings(given, **changes):
    values = {
        "files": (given.drop,),
        "base": given.base,
        "reference": given.reference,
        "workspace": str(given.directory / "workspace"),
        "corpus": {"template": "tulu"},
    }
    return CleanSettings(**{**values, **changes})


def ids(given, **changes):
    plan = plan_clean(settings(given, **changes), on_gpu=False)
    artifacts = plan.artifacts
    return tuple(artifacts[step].id for step in ("make corpus", "score base", "select tokens"))


def test_a_plan_names_every_artifact_and_writes_nothing(given):
    plan = plan_clean(settings(given), on_gpu=False)

    assert list(plan.artifacts) == [
        "make corpus",
        "score base",
        "score reference",
        "select tokens",
    ]
    assert plan.run.name == f"fixed-model-{plan.selection.artifact.id[:8]}"
    assert not (given.directory / "workspace").exists()


def test_the_same_settings_give_the_same_ids_in_any_workspace(given, tmp_path):
    assert ids(given) == ids(given, workspace=str(tmp_path / "elsewhere"))


@pytest.mark.parametrize(
    "changes",
    [
        {"selection": {"seed": 7}},
        {"scoring": {"batch_tokens": 4096}},  # a processor's batches are smaller than both
        {"scoring": {"max_non_finite": 0.5}},
        {"corpus": {"template": "tulu", "max_quarantine": 0.5}},
        {"cluster": {"workers": 2}},
    ],
)
def test_what_does_not_change_the_result_does_not_change_an_id(given, changes):
    assert ids(given, **changes) == ids(given)


@pytest.mark.parametrize(
    ("changes", "changed"),
    [
        ({"corpus": {"template": "plain"}}, (True, True, True)),
        ({"corpus": {"template": "tulu", "max_length": 64}}, (True, True, True)),
        ({"scoring": {"dtype": "float32"}}, (False, True, True)),
        ({"scoring": {"batch_tokens": 64}}, (False, True, True)),
        ({"selection": {"keep": 0.5}}, (False, False, True)),
        ({"selection": {"scope": "source"}}, (False, False, True)),
        ({"selection": {"method": "rho"}}, (False, False, True)),
        ({"selection": {"keep_empty": True}}, (False, False, True)),
    ],
)
def test_what_changes_the_result_changes_the_ids_from_there_on(given, changes, changed):
    before, after = (
        ids(given, scoring={"dtype": "bfloat16"}),
        ids(given, **{"scoring": {"dtype": "bfloat16"}, **changes}),
    )

    assert tuple(a != b for a, b in zip(before, after, strict=True)) == changed


def test_the_seed_is_part_of_a_selection_that_draws(given):
    drawn = [
        plan_clean(settings(given, selection={"method": "random", "seed": seed}), on_gpu=False)
        for seed in (0, 1)
    ]

    assert drawn[0].selection.artifact.id != drawn[1].selection.artifact.id
    assert drawn[0].evidence.scorings == ()


def test_the_layer_is_part_of_a_selection_that_looks_at_attention_in_training(given):
    def selection(method, layer):
        asked = {"selection": {"method": method}, "scoring": {"attention_layer": layer}}
        return plan_clean(settings(given, **asked), on_gpu=False).selection.artifact

    assert selection("sstoken-online", 0).plan["attention_layer"] == 0
    assert selection("sstoken-online", 0).id != selection("sstoken-online", -1).id
    assert selection("rho-1", 0).id == selection("rho-1", -1).id


def test_the_same_file_under_another_source_is_another_corpus(given, tmp_path):
    """A dataset's rows are called after its directory; its file is called the same in both."""
    Dataset.from_list([{"prompt": "1 + 1", "completion": "2"}]).save_to_disk(tmp_path / "one")
    shutil.copytree(tmp_path / "one", tmp_path / "two")

    one, two = (ids(given, files=(str(tmp_path / name),))[0] for name in ("one", "two"))

    assert one != two


def test_samples_are_no_longer_than_the_models_were_made_for(given, tmp_path):
    config = tmp_path / "short" / "config.json"
    shutil.copytree(given.base, config.parent)
    config.write_text(
        config.read_text().replace(
            '"max_position_embeddings": 2048', '"max_position_embeddings": 50'
        )
    )

    plan = plan_clean(settings(given, base=str(config.parent)), on_gpu=False)

    assert plan.corpus.artifact.plan["max_length"] == 50
    too_long = settings(given, base=str(config.parent), corpus={"max_length": 51})
    with pytest.raises(SettingsError, match="is 51, but the models were made for 50 tokens"):
        plan_clean(too_long, on_gpu=False)


def test_a_disk_without_room_is_refused_before_the_work(given, tmp_path, monkeypatch):
    plan = plan_clean(settings(given, workspace=str(tmp_path / "w")), on_gpu=False)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=1000))

    with pytest.raises(ResourceError, match="will be written, but 1,000 are free"):
        plan.declare()


def test_a_method_without_its_model_is_refused(given):
    with pytest.raises(SettingsError, match="--reference: the method fixed-model needs"):
        plan_clean(settings(given, reference=None), on_gpu=False)


def test_the_base_as_its_own_reference_is_refused(given):
    with pytest.raises(SettingsError, match="same model"):
        plan_clean(settings(given, reference=given.base), on_gpu=False)


def test_a_file_that_is_not_there_is_refused(given):
    with pytest.raises(InputError, match=r"nothing-here\.jsonl"):
        plan_clean(settings(given, files=("nothing-here.jsonl",)), on_gpu=False)


@pytest.mark.parametrize(
    "changes",
    [
        {"files": ("/nothing/here.jsonl",)},
        {"base": "/nothing/here"},
        {"corpus": {"template": "model"}},  # the tiny model has none of its own
        {"corpus": {"template": "tulu", "max_length": 10**6}},
        {"selection": {"method": "rhoo"}},
        {"reference": None},
    ],
)
def test_a_second_of_looking_finds_what_the_plan_would_refuse(given, changes):
    with pytest.raises((InputError, SettingsError)) as looked:
        check_given(settings(given, **changes))
    with pytest.raises((InputError, SettingsError)) as planned:
        plan_clean(settings(given, **changes), on_gpu=False)

    assert str(looked.value) == str(planned.value)


def test_a_second_of_looking_lets_a_good_run_through(given):
    check_given(settings(given))
    check_given(settings(given, files=(given.drop, "hf://some/name")))
