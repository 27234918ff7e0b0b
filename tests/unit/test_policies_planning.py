"""Policies in plans: part of a selection's name where they are set, and refused where they cannot
hold.
"""

from types import SimpleNamespace

import pytest

from tests.drops import write_drop
from tests.tiny_models import build_tiny_model
from tokensieve.artifact import Artifact
from tokensieve.errors import SettingsError
from tokensieve.methods import find_method
from tokensieve.models import ModelPlace
from tokensieve.planning import plan_clean
from tokensieve.planning.policies import check_policies, with_policies
from tokensieve.planning.steps import selection_step
from tokensieve.settings import CleanSettings, PolicySettings, S3Settings, SelectionSettings
from tokensieve.storage import LocalStorage

EVERYTHING = {
    "protect": ("numbers", "eos"),
    "protect_pattern": "x+",
    "min_kept_tokens": 3,
    "smooth_spans": 2,
}


@pytest.fixture(scope="module")
def given(tmp_path_factory):
    directory = tmp_path_factory.mktemp("given")
    return SimpleNamespace(
        base=str(build_tiny_model(directory / "base", seed=1, hidden=16)),
        reference=str(build_tiny_model(directory / "reference", seed=2, hidden=16)),
        drop=str(write_drop(directory / "drop.jsonl", num_rows=3)),
        workspace=str(directory / "workspace"),
    )


def planned(given, method="fixed-model", **policies):
    return plan_clean(
        CleanSettings(
            files=(given.drop,),
            base=given.base,
            reference=given.reference,
            workspace=given.workspace,
            corpus={"template": "tulu"},
            selection={"method": method},
            policies=policies,
        ),
        on_gpu=False,
    )


def step_of(tmp_path, **policies):
    """Return the selection of a corpus and scores that are nowhere."""
    storage = LocalStorage(tmp_path)
    corpus = Artifact(storage, "corpora", {"num_shards": 2})
    scores = {role: Artifact(storage, "scores", {"role": role}) for role in ("base", "reference")}
    step = selection_step(corpus, scores, SelectionSettings(keep=0.5))
    place = ModelPlace("nowhere", S3Settings())
    return with_policies(step, PolicySettings(**policies), place)


def test_without_policies_a_selection_is_called_what_it_was_before_there_were_any(tmp_path):
    step = step_of(tmp_path)

    assert step.artifact.id == "468a944e58557fa3"
    assert (step.overriding, "policies" in step.artifact.plan) == (None, False)


def test_every_policy_changes_the_name_of_the_selection(tmp_path):
    names = {step_of(tmp_path, **{key: value}).artifact.id for key, value in EVERYTHING.items()}

    assert (
        len(names | {step_of(tmp_path).artifact.id, step_of(tmp_path, **EVERYTHING).artifact.id})
        == 6
    )


def test_the_order_in_which_protections_are_written_is_of_no_account(tmp_path):
    ids = {
        step_of(tmp_path, protect=named).artifact.id
        for named in (("eos", "numbers"), ("numbers", "eos"), ("numbers", "eos", "eos"))
    }

    assert len(ids) == 1


def test_a_run_says_which_policies_are_set_and_nothing_if_none_is(given):
    plain, policed = planned(given), planned(given, **EVERYTHING)

    assert "policies" not in plain.run.settings
    assert policed.run.settings["policies"] == {
        "protect": ["eos", "numbers"],
        "protect_pattern": "x+",
        "min_kept_tokens": 3,
        "smooth_spans": 2,
    }
    assert policed.run.name == f"fixed-model-{policed.selection.artifact.id[:8]}"
    assert policed.artifacts["score base"].id == plain.artifacts["score base"].id


def test_what_keeps_every_token_is_overridden_by_none(given):
    assert planned(given, "full", **EVERYTHING).run.name == planned(given, "full").run.name


def checked(given, method, **policies):
    place = ModelPlace(given.base, S3Settings())
    check_policies(PolicySettings(**policies), [find_method(method)], place)


@pytest.mark.parametrize("name", ["min_kept_tokens", "smooth_spans"])
@pytest.mark.parametrize("method", ["dft", "eaft"])
def test_a_method_that_drops_nothing_has_nothing_to_add_or_to_smooth(given, method, name):
    with pytest.raises(SettingsError, match=rf"^policies\.{name}: the method {method} weighs"):
        checked(given, method, **{name: 2})


@pytest.mark.parametrize("method", ["dft", "sstoken-online", "forgetting", "random", "combine"])
def test_tokens_can_be_protected_from_every_method(given, method):
    checked(given, method, protect=("eos",), protect_pattern="x")


def test_a_pattern_that_would_hang_is_refused_before_the_work(given, monkeypatch):
    monkeypatch.setattr("tokensieve.patterns._TRIAL_SECONDS", 0.5)

    with pytest.raises(SettingsError, match=r"policies\.protect_pattern: '\(x\+x\+\)\+y' takes"):
        planned(given, protect_pattern="(x+x+)+y")
