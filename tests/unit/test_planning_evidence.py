"""What methods look at, as it is planned: what a name depends on, and what is not made twice."""

import shutil

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.tiny_plans import make_inputs
from tokensieve.artifact import Artifact
from tokensieve.errors import InputError, SettingsError
from tokensieve.planning import CleanPlan, check_given, plan_clean
from tokensieve.settings import CleanSettings
from tokensieve.settings.tree import checked
from tokensieve.sieve import planted_share


@pytest.fixture(scope="module")
def given(tmp_path_factory):
    return make_inputs(tmp_path_factory.mktemp("given"))


def settings(given, method, parameters=None, selection=None, **changes) -> CleanSettings:
    values = {
        "files": (given.drop,),
        "base": given.base,
        "reference": given.reference,
        "workspace": str(given.directory / "workspace"),
        "corpus": {"template": "tulu"},
        "selection": {"method": method, "parameters": parameters or {}, **(selection or {})},
    }
    return checked(CleanSettings, {**values, **changes})


def planned(*arguments, **changes) -> CleanPlan:
    return plan_clean(settings(*arguments, **changes), on_gpu=False)


def selection_of(*arguments, **changes) -> Artifact:
    return planned(*arguments, **changes).selection.artifact


@pytest.mark.parametrize(
    ("parameters", "scopes"),
    [
        ({}, [None, "dataset", "sample"]),
        ({"how": "union"}, [None, "dataset", "sample"]),
        ({"how": "rank"}, ["dataset", "dataset", "sample"]),
    ],
)
def test_the_scope_of_the_members_is_part_of_a_combination(given, parameters, scopes):
    made = [
        selection_of(given, "combine", parameters, {"scope": scope})
        for scope in (None, "dataset", "sample")
    ]

    assert [each.plan["scope"] for each in made] == scopes
    assert made[1].id != made[2].id


def test_a_combination_of_tests_has_no_scope(given):
    tests = {"methods": ["profit", "full"]}

    assert selection_of(given, "combine", tests).plan["scope"] is None
    with pytest.raises(SettingsError, match=r"selection\.scope: is sample, but combine counts no"):
        planned(given, "combine", tests, {"scope": "sample"})


@pytest.mark.parametrize(
    ("method", "parameters", "selection", "told"),
    [
        ("full", {}, {"keep": 0.5}, r"is 0\.5, but full keeps no share .* Leave it out"),
        ("dft", {}, {"scope": "sample"}, "is sample, but dft counts no share"),
        ("external", {"rule": "positive"}, {"keep": 0.5}, "external keeps no share of its own"),
        ("combine", {}, {"keep": 0.5}, "that of its members in its parameter keep"),
    ],
)
def test_a_share_or_scope_that_changes_nothing_is_refused(
    given, method, parameters, selection, told
):
    wanted = settings(given, method, parameters, selection)

    for look in (check_given, lambda wanted: plan_clean(wanted, on_gpu=False)):
        with pytest.raises(SettingsError, match=rf"selection\.(keep|scope): .*{told}"):
            look(wanted)


def test_what_is_meant_alike_by_the_members_is_named_alike(given):
    def id_of(parameters):
        methods = ["sstoken", "reference-loss"]
        return selection_of(given, "combine", {"methods": methods, "parameters": parameters}).id

    assert id_of({}) == id_of({"reference-loss": {}}) == id_of({"sstoken": {"gamma": 0.5}})
    assert id_of({"sstoken": {"gamma": 1}}) == id_of({"sstoken": {"gamma": 1.0}}) != id_of({})


def test_only_what_the_sieve_looks_at_is_scored_on_planted_noise(given):
    alone = planned(given, "sieve").evidence
    combined = planned(given, "combine", {"methods": ["sieve", "xtf"]})

    assert list(combined.evidence.artifacts) == [
        "plant noise",
        "score reference",
        "score base",
        "score reference on planted noise",
    ]
    assert combined.evidence.planted.scores["reference"].id == alone.planted.scores["reference"].id
    planted = combined.selection.artifact.plan["planted"]
    assert planted == {"reference": alone.planted.scores["reference"].id}


def test_a_planted_copy_is_named_after_what_decides_what_is_planted(given):
    plan = planned(given, "sieve").evidence.plant.artifact.plan

    assert plan["planting"] == {"share": 0.5, "max_tokens": 150_000, "seed": 0}
    assert planted_share(1) == plan["planting"]["share"]
    assert planted_share(1_500_000) == plan["planting"]["max_tokens"] / 1_500_000


def write_numbers(path, number: float) -> str:
    columns = {"sample_id": ["a"], "value": pa.array([[number]], pa.list_(pa.float32()))}
    pq.write_table(pa.table(columns), path)
    return str(path)


def test_a_file_of_numbers_that_is_not_there_is_refused_at_once(given, tmp_path):
    wanted = settings(given, "external", external=str(tmp_path / "none.parquet"))

    for look in (check_given, lambda wanted: plan_clean(wanted, on_gpu=False)):
        with pytest.raises(InputError, match=r"none\.parquet: cannot be read: .* Check the path"):
            look(wanted)


def test_a_model_or_file_that_the_method_does_not_look_at_is_told_and_shortens_nothing(
    given, tmp_path
):
    config = tmp_path / "short" / "config.json"
    shutil.copytree(given.base, config.parent)
    long = '"max_position_embeddings": 2048'
    config.write_text(config.read_text().replace(long, '"max_position_embeddings": 50'))
    numbers = write_numbers(tmp_path / "numbers.parquet", 1.0)

    usual = planned(given, "fixed-model")
    plan = planned(given, "fixed-model", harmful=str(config.parent), external=numbers)

    assert usual.unused == []
    assert plan.unused == [
        "--harmful: is not looked at by fixed-model",
        "--external: is not looked at by fixed-model",
    ]
    assert plan.corpus.artifact.id == usual.corpus.artifact.id
    assert plan.corpus.artifact.plan["max_length"] == 2048


def test_one_model_may_have_two_roles_that_no_method_sets_against_each_other(given):
    both = {"methods": ["xtf", "reference-loss"]}

    scores = planned(given, "combine", both, reference=given.base).selection.scores

    assert scores.keys() == {"base", "reference"}
    with pytest.raises(SettingsError, match="every difference would be 0"):
        planned(given, "combine", {"methods": ["xtf", "rho"]}, reference=given.base)
    with pytest.raises(SettingsError, match="--harmful: is the same model as the reference"):
        planned(given, "toss", harmful=given.reference)


def test_the_layer_of_the_attention_is_on_record(given):
    def recorded(method, layer):
        return planned(given, method, scoring={"attention_layer": layer}).run.settings

    assert recorded("sstoken", 0)["attention_layer"] == 0
    assert "attention_layer" not in recorded("rho", 0)
