"""The plan of a comparison: arms that share all that they can, and what is refused."""

import pytest

from tests.tiny_plans import commit_corpus, commit_model, make_inputs
from tokensieve.errors import InputError, SettingsError
from tokensieve.planning import (
    ArmPlan,
    ComparePlan,
    base_on_holdout,
    check_compare_given,
    evolve_settings,
    next_round,
    plan_arm_evidence,
    plan_arms,
    plan_compare,
    plan_evaluation,
    plan_evolve,
    plan_warmup,
)
from tokensieve.settings import CompareSettings
from tokensieve.settings.tree import checked


@pytest.fixture(scope="module")
def given(tmp_path_factory):
    return make_inputs(tmp_path_factory.mktemp("given"))


def settings(given, workspace, **changes) -> CompareSettings:
    values = {
        "files": (given.drop,),
        "holdout": (given.holdout,),
        "base": given.base,
        "workspace": str(workspace),
        "corpus": {"template": "tulu"},
        "rounds": {"rounds": 2},
        "seeds": (3, 4),
    }
    return checked(CompareSettings, {**values, **changes})


def prepared(given, workspace, **changes) -> ComparePlan:
    """Return a plan that is declared and whose corpora are made."""
    plan = plan_compare(settings(given, workspace, **changes), on_gpu=False)
    plan.declare()
    for step in plan.corpora.values():
        commit_corpus(step)
    return plan


def arms_of(plan: ComparePlan) -> dict[tuple[str, int], ArmPlan]:
    """Return the arms that select once, after the warm-up."""
    warmup = plan_warmup(plan)
    if warmup is not None:
        commit_model(warmup.training.artifact, plan.settings.base, "warmed up")
    arms = plan_arms(plan, plan_arm_evidence(plan, warmup))
    return {(each.arm, each.seed): each for each in arms}


def test_every_arm_has_a_model_for_each_seed_from_the_same_base(given, tmp_path):
    plan = prepared(given, tmp_path)
    arms = arms_of(plan)

    assert list(arms) == [
        (arm, seed) for arm in ("full", "random", "rho", "fixed-model") for seed in (3, 4)
    ]
    assert len({each.training.artifact.id for each in arms.values()}) == 8
    for (_, seed), each in arms.items():
        assert each.training.artifact.plan["init"] == plan.base.model.fingerprint
        assert each.training.artifact.plan["training"]["seed"] == seed
        assert each.training.corpus.id == plan.drop.id


def test_only_an_arm_that_draws_selects_anew_for_each_seed(given, tmp_path):
    arms = arms_of(prepared(given, tmp_path))
    selections = {key: each.selection.artifact.id for key, each in arms.items()}

    assert selections["random", 3] != selections["random", 4]
    for arm in ("full", "rho", "fixed-model"):
        assert selections[arm, 3] == selections[arm, 4]
    assert arms["rho", 3].selection.scores.keys() == {"base", "reference"}


def test_the_share_that_is_kept_is_that_of_the_comparison(given, tmp_path):
    arms = arms_of(prepared(given, tmp_path, keep=0.3))

    assert {arms[arm, 3].selection.artifact.plan["keep"] for arm in ("random", "fixed-model")} == {
        0.3
    }


def test_without_a_reference_the_base_is_warmed_up_on_the_first_part(given, tmp_path):
    plan = prepared(given, tmp_path)

    warmup = plan_warmup(plan)

    part = warmup.part.artifact.plan
    assert (part["part"], part["num_parts"], part["of"]) == (0, 3, plan.drop.id)
    assert warmup.selection.settings.method == "full"
    assert warmup.training.artifact.plan["training"]["seed"] == 0  # not one of the arms'


def test_an_arm_keeps_the_share_that_stands_in_its_name(given, tmp_path):
    arms = arms_of(prepared(given, tmp_path, arms=("rho@0.3", "rho", "full"), seeds=(3,)))

    shares = {arm: each.selection.artifact.plan["keep"] for (arm, _), each in arms.items()}
    assert shares == {"rho@0.3": 0.3, "rho": 0.6, "full": None}


def test_files_of_a_warm_up_take_the_place_of_the_first_part(given, tmp_path):
    plan = prepared(given, tmp_path, warmup=(given.warmup,))

    warmup = plan_warmup(plan)

    assert warmup.part is None
    assert warmup.training.corpus.id == plan.corpora["warmup"].artifact.id


def test_a_reference_that_is_given_needs_no_warm_up(given, tmp_path):
    plan = prepared(given, tmp_path, reference=given.reference)

    assert plan_warmup(plan) is None
    assert [(step.role, step.model.path) for step in plan_arm_evidence(plan, None).scorings] == [
        ("base", given.base),
        ("reference", given.reference),
    ]


@pytest.mark.parametrize("arms", [("full", "random"), ("random", "self-evolving")])
def test_arms_that_look_at_no_scores_cost_no_forward_pass(given, tmp_path, arms):
    plan = prepared(given, tmp_path, arms=arms)

    assert plan_warmup(plan) is None
    assert plan_arm_evidence(plan, None).scorings == ()


def test_the_evolving_arm_shares_its_corpus_warm_up_and_base_scores_with_the_others(
    given, tmp_path
):
    plan = prepared(
        given,
        tmp_path,
        training={"precision": "bfloat16", "epochs": 2, "seed": 3},
        scoring={"dtype": "float32", "batch_tokens": 64},
    )
    warmup = plan_warmup(plan)
    commit_model(warmup.training.artifact, given.base, "warmed up")
    scorings = plan_arm_evidence(plan, warmup).scorings

    evolution = plan_evolve(evolve_settings(plan, seed=3), on_gpu=False)
    first = next_round(evolution)

    assert evolution.corpora["drop"].artifact.id == plan.drop.id
    assert evolution.base.artifact.id == scorings[0].artifact.id
    assert first.selection.artifact.id == warmup.selection.artifact.id
    assert first.training.artifact.id == warmup.training.artifact.id


def test_the_base_is_scored_once_for_the_evolving_arm_and_all_others(given, tmp_path):
    plan = prepared(given, tmp_path, arms=("xtf", "self-evolving"))

    evolution = plan_evolve(evolve_settings(plan, seed=3), False, plan.base.columns)

    assert plan.base.columns == ("nll", "entropy", "received_attention")
    [scoring] = plan_arm_evidence(plan, None).scorings
    assert evolution.base.artifact.id == plan.base.artifact.id == scoring.artifact.id


def test_the_evolving_arm_has_no_gate_because_that_would_see_the_held_out_data(given, tmp_path):
    plan = prepared(given, tmp_path, reference=given.reference, warmup=(given.warmup,))

    evolving = evolve_settings(plan, seed=4)

    assert evolving.holdout == ()
    assert evolving.warmup == plan.settings.warmup
    assert evolving.rounds == plan.settings.rounds
    assert evolving.training.seed == evolving.selection.seed == 4
    assert evolving.selection.keep == plan.settings.keep


def test_another_arm_or_seed_keeps_what_the_others_made(given, tmp_path):
    few, more = (
        arms_of(prepared(given, tmp_path / name, arms=arms, seeds=seeds))
        for name, arms, seeds in (
            ("few", ("full", "rho"), (3,)),
            ("more", ("random", "rho", "full"), (3, 5)),
        )
    )

    for key, arm in few.items():
        assert more[key].selection.artifact.id == arm.selection.artifact.id
        assert more[key].training.artifact.id == arm.training.artifact.id


@pytest.mark.parametrize(
    "changes",
    [
        {"cluster": {"workers": 2, "ranks": 4}},
        {"training": {"checkpoint_minutes": 0}},
        {"corpus": {"template": "tulu", "max_quarantine": 0.5}},
    ],
)
def test_what_does_not_change_the_result_does_not_change_a_name(given, tmp_path, changes):
    usual, changed = (
        plan_compare(settings(given, tmp_path / name, **values), on_gpu=False)
        for name, values in (("usual", {}), ("changed", changes))
    )
    ids = [
        [step.artifact.id for step in (*plan.corpora.values(), plan.base)]
        for plan in (usual, changed)
    ]

    assert ids[0] == ids[1]
    assert usual.run.name == changed.run.name


@pytest.mark.parametrize(
    "changes",
    [
        {"arms": ("full", "random")},
        {"seeds": (3,)},
        {"keep": 0.5},
        {"training": {"learning_rate": 1e-3}},
        {"rounds": {"rounds": 1}},
        {"evaluation": {"answer_pattern": "[0-9]+"}},
        {"holdout": "warmup"},
        {"reference": "reference"},
    ],
)
def test_what_changes_the_result_changes_the_name_of_the_run(given, tmp_path, changes):
    paths = {"holdout": (given.warmup,), "reference": given.reference}
    changes = {key: paths.get(key, value) for key, value in changes.items()}
    usual, changed = (
        plan_compare(settings(given, tmp_path, **values), on_gpu=False) for values in ({}, changes)
    )

    assert usual.run.name != changed.run.name


def test_the_layer_of_the_attention_changes_the_name_where_it_is_looked_at(given, tmp_path):
    def name(layer, *arms):
        asked = settings(given, tmp_path, arms=arms, scoring={"attention_layer": layer})
        return plan_compare(asked, on_gpu=False).run.name

    assert name(0, "sstoken") != name(-1, "sstoken")
    assert name(0, "rho") == name(-1, "rho")


def test_other_numbers_under_the_same_name_change_the_name_of_the_run(given, tmp_path):
    numbers, names = tmp_path / "numbers.parquet", []
    for content in (b"some", b"others"):
        numbers.write_bytes(content)
        for arms in (("external",), ("random",)):
            asked = settings(given, tmp_path, arms=arms, external=str(numbers))
            names.append(plan_compare(asked, on_gpu=False).run.name)

    assert names[0] != names[2]
    assert names[1] == names[3]


def test_what_no_arm_looks_at_is_told_and_shortens_nothing(given, tmp_path):
    asked = {"arms": ("full", "rho"), "reference": given.reference, "bottleneck": "/no/model"}

    plan = plan_compare(settings(given, tmp_path, **asked), on_gpu=False)

    assert plan.unused == ["--bottleneck: is not looked at by full, rho"]


def test_every_model_is_evaluated_on_the_held_out_corpus(given, tmp_path):
    plan = prepared(given, tmp_path, evaluation={"answer_pattern": "[0-9]+"})
    arm = arms_of(plan)["full", 3].training.artifact
    commit_model(arm, given.base, "full, trained")
    holdout = plan.corpora["holdout"].artifact.id

    loss, answers = plan_evaluation(plan, arm.id)

    assert (loss.corpus.id, answers.corpus.id) == (holdout, holdout)
    assert loss.artifact.plan["model"] == answers.artifact.plan["model"] == "full, trained"
    assert base_on_holdout(plan).corpus.id == holdout
    assert base_on_holdout(plan).model == plan.base.model


def test_without_a_pattern_or_a_task_only_the_loss_is_measured(given, tmp_path):
    plan = prepared(given, tmp_path)
    arm = arms_of(plan)["full", 3].training.artifact
    commit_model(arm, given.base, "full, trained")

    assert plan_evaluation(plan, arm.id)[1] is None


REFUSED = {
    "an arm that there is not": ({"arms": ("full", "rhoo")}, r"arms: there is no arm 'rhoo'\."),
    "an arm twice": ({"arms": ("full", "rho", "full")}, "arms: one is named twice in"),
    "a share of none": ({"arms": ("xtf@0.3",)}, r"arms: 'xtf@0\.3': .* xtf keeps no share"),
    "a share that is missing": ({"arms": ("rho@",)}, r"arms: 'rho@': keep: .*valid number"),
    "a seed twice": ({"seeds": (1, 2, 1)}, "seeds: one is named twice in"),
    "no seed": ({"seeds": ()}, "seeds: Tuple should have at least 1 item"),
    "nothing held out": ({"holdout": ()}, "holdout: Tuple should have at least 1 item"),
    "a pattern that is none": ({"evaluation": {"answer_pattern": "("}}, "answer_pattern"),
    "a file that is not there": ({"holdout": ("/no/file.jsonl",)}, r"/no/file\.jsonl"),
    "a base that is not there": ({"base": "/no/base"}, "/no/base: is not a directory"),
    "a reference that is not there": ({"reference": "/no/model"}, "/no/model: is not a directory"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_compared_is_refused_by_the_plan_and_by_the_first_look(
    given, tmp_path, name
):
    changes, message = REFUSED[name]

    for look in (check_compare_given, lambda wanted: plan_compare(wanted, on_gpu=False)):
        with pytest.raises((InputError, SettingsError), match=message):
            look(settings(given, tmp_path / "w", **changes))

    assert not (tmp_path / "w").exists()


def test_a_second_of_looking_lets_a_good_comparison_through(given, tmp_path):
    check_compare_given(settings(given, tmp_path, reference=given.reference))
