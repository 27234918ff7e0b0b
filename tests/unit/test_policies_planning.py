"""Policies in plans: part of a selection's name where they are set, and refused where they cannot
hold.
"""

import pytest

from tests.tiny_plans import commit_corpus, commit_model, end_round, make_inputs
from tokensieve.artifact import CODE_VERSION, Artifact
from tokensieve.errors import SettingsError
from tokensieve.methods import find_method
from tokensieve.models import ModelPlace
from tokensieve.planning import (
    evolve_settings,
    next_harden_round,
    next_round,
    plan_arm_evidence,
    plan_arms,
    plan_clean,
    plan_compare,
    plan_evolve,
    plan_harden,
    plan_warmup,
)
from tokensieve.planning.policies import check_policies, with_policies
from tokensieve.planning.steps import selection_step
from tokensieve.settings import (
    CleanSettings,
    CompareSettings,
    EvolveSettings,
    PolicySettings,
    S3Settings,
    SelectionSettings,
)
from tokensieve.storage import LocalStorage

EVERYTHING = {
    "protect": ("numbers", "eos"),
    "protect_pattern": "x+",
    "min_kept_tokens": 3,
    "smooth_spans": 2,
}


@pytest.fixture(scope="module")
def given(tmp_path_factory):
    return make_inputs(tmp_path_factory.mktemp("given"))


def planned(given, method="fixed-model", **policies):
    return plan_clean(
        CleanSettings(
            files=(given.drop,),
            base=given.base,
            reference=given.reference,
            workspace=str(given.directory / "workspace"),
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


def test_without_policies_a_selection_has_the_plan_that_it_had_before_there_were_any(tmp_path):
    step = step_of(tmp_path)

    assert step.overriding is None
    assert step.artifact.plan == {
        "kind": "selections",
        "code": CODE_VERSION,
        "num_shards": 2,
        "corpus": step.corpus.id,
        "scores": {role: artifact.id for role, artifact in step.scores.items()},
        "method": "fixed-model",
        "parameters": {},
        "keep": 0.5,
        "scope": "dataset",
        "seed": None,
        "keep_empty": False,
    }


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


def checked(method, **policies):
    check_policies(PolicySettings(**policies), [find_method(method)])


@pytest.mark.parametrize("name", ["min_kept_tokens", "smooth_spans"])
@pytest.mark.parametrize("method", ["dft", "eaft"])
def test_a_method_that_drops_nothing_has_nothing_to_add_or_to_smooth(method, name):
    with pytest.raises(SettingsError, match=rf"^policies\.{name}: the method {method} weighs"):
        checked(method, **{name: 2})


@pytest.mark.parametrize("method", ["dft", "sstoken-online", "forgetting", "random", "combine"])
def test_tokens_can_be_protected_from_every_method(method):
    checked(method, protect=("eos",), protect_pattern="x")


def test_a_pattern_that_would_hang_is_refused_before_the_work(given, monkeypatch):
    monkeypatch.setattr("tokensieve.patterns._TRIAL_SECONDS", 0.5)

    with pytest.raises(SettingsError, match=r"policies\.protect_pattern: '\(x\+x\+\)\+y' takes"):
        planned(given, protect_pattern="(x+x+)+y")


def shared(given, workspace):
    """Return what the settings of every run with rounds or arms have here."""
    return {
        "files": (given.drop,),
        "base": given.base,
        "workspace": str(workspace),
        "corpus": {"template": "tulu"},
        "rounds": {"rounds": 1},
        "policies": {"protect": ("eos",)},
    }


def prepared(plan):
    plan.declare()
    for step in plan.corpora.values():
        commit_corpus(step)
    return plan


def set_in(selection):
    return selection.artifact.plan.get("policies"), selection.overriding is not None


def test_the_rounds_of_an_evolving_reference_have_them_and_the_warm_up_keeps_all(given, tmp_path):
    plan = prepared(plan_evolve(EvolveSettings(**shared(given, tmp_path)), on_gpu=False))

    assert set_in(end_round(plan).selection) == (None, False)
    assert set_in(next_round(plan).selection) == ({"protect": ["eos"]}, True)
    assert plan.run.settings["policies"] == {"protect": ["eos"]}


def test_the_rounds_of_a_harmful_model_have_them(given, tmp_path):
    values = shared(given, tmp_path) | {
        "reference": given.reference,
        "harmful_data": (given.warmup,),
        "selection": {"method": "toss"},
    }
    plan = prepared(plan_harden(EvolveSettings(**values), on_gpu=False))
    first = next_harden_round(plan)
    first.declare(plan.run)
    commit_model(first.retraining.training.artifact, given.base, "harmful")
    plan.run.finish_round(plan.storage, first.round)

    assert set_in(first.selection) == (None, False)
    assert set_in(next_harden_round(plan).selection) == ({"protect": ["eos"]}, True)
    assert plan.run.settings["policies"] == {"protect": ["eos"]}


def test_every_arm_of_a_comparison_has_them_but_the_one_that_keeps_all(given, tmp_path):
    values = shared(given, tmp_path) | {
        "holdout": (given.holdout,),
        "reference": given.reference,
        "arms": ("full", "random", "rho", "self-evolving"),
        "seeds": (3,),
    }
    plan = prepared(plan_compare(CompareSettings(**values), on_gpu=False))

    arms = plan_arms(plan, plan_arm_evidence(plan, plan_warmup(plan)))

    protected = ({"protect": ["eos"]}, True)
    assert {each.arm: set_in(each.selection) for each in arms} == {
        "full": (None, False),
        "random": protected,
        "rho": protected,
    }
    assert evolve_settings(plan, 3).policies == plan.settings.policies
    assert plan.run.settings["policies"] == {"protect": ["eos"]}
