"""The rounds of a harmful model: what it is trained on, and which model scores and selects what."""

import pytest

from tests.drops import write_drop
from tests.tiny_models import build_tiny_model
from tests.tiny_plans import commit_corpus, commit_model, make_inputs
from tokensieve.errors import InputError, SettingsError
from tokensieve.planning import (
    HardenPlan,
    HardenRound,
    check_evolve_given,
    check_harden_given,
    harden_outcome,
    hardens,
    harmful_held_out_steps,
    harmful_model,
    next_harden_round,
    plan_evolve,
    plan_harden,
)
from tokensieve.runs import Outcome
from tokensieve.settings import EvolveSettings
from tokensieve.storage import LocalStorage


@pytest.fixture(scope="module")
def given(tmp_path_factory):
    inputs = make_inputs(tmp_path_factory.mktemp("given"))
    inputs.harmful = str(write_drop(inputs.directory / "harmful.jsonl", num_rows=7, seed=3))
    return inputs


def settings(given, workspace, **changes) -> EvolveSettings:
    values = {
        "files": (given.drop,),
        "base": given.base,
        "reference": given.reference,
        "harmful_data": (given.harmful,),
        "workspace": str(workspace),
        "corpus": {"template": "tulu"},
        "rounds": {"rounds": 2},
        "selection": {"method": "toss"},
    }
    return EvolveSettings(**{**values, **changes})


def prepared(given, workspace, **changes) -> HardenPlan:
    """Return a plan that is declared and whose corpora are made."""
    plan = plan_harden(settings(given, workspace, **changes), on_gpu=False)
    plan.declare()
    for step in plan.corpora.values():
        commit_corpus(step)
    return plan


def end_round(plan: HardenPlan) -> HardenRound:
    """Finish the next round, whose model has the fingerprint `after round N`; return its plan."""
    planned = next_harden_round(plan)
    planned.declare(plan.run)
    outcome = None
    if planned.retraining is not None:
        fingerprint = f"after round {planned.round.round}"
        commit_model(planned.retraining.training.artifact, plan.settings.base, fingerprint)
        outcome = harden_outcome([1.0], [])
    plan.run.finish_round(plan.storage, planned.round, outcome)
    return planned


def ids(given, workspace, **changes) -> tuple[str, ...]:
    """Return the run's name, and the ids of the second model, its corpus and the last selection."""
    plan = prepared(given, workspace, **changes)
    rounds = [end_round(plan).round for _ in range(plan.run.num_rounds)]
    return (plan.run.name, rounds[1].model, rounds[1].trained_corpus, rounds[-1].selection)


@pytest.fixture(scope="module")
def usual_ids(given, tmp_path_factory):
    return ids(given, tmp_path_factory.mktemp("usual"))


def test_planning_writes_nothing(given, tmp_path):
    plan_harden(settings(given, tmp_path / "w"), on_gpu=False)

    assert not (tmp_path / "w").exists()


def test_the_harmful_model_is_trained_from_the_base_on_data_that_grows(given, tmp_path):
    plan = prepared(given, tmp_path)
    rounds = [end_round(plan) for _ in range(4)]
    retrainings = [each.retraining for each in rounds[:3]]
    harmful, drop = plan.corpora["harmful"].artifact, plan.drop

    assert [each.selection.corpus.id for each in rounds] == [harmful.id, drop.id, drop.id, drop.id]
    assert [each.selection.settings.method for each in rounds] == ["full", *["toss"] * 3]
    assert rounds[3].retraining is None
    assert next_harden_round(plan) is None
    assert [each.training.init.fingerprint for each in retrainings] == (
        [plan.models["base"].fingerprint] * 3
    )
    assert [each.selection.settings.method for each in retrainings] == ["full"] * 3
    assert retrainings[0].growth is None
    assert [each.growth.former.id for each in retrainings[1:]] == [
        harmful.id,
        retrainings[1].growth.artifact.id,
    ]
    assert [each.training.corpus.id for each in retrainings] == [
        harmful.id,
        retrainings[1].growth.artifact.id,
        retrainings[2].growth.artifact.id,
    ]
    assert [each.growth.num_added for each in retrainings[1:]] == [100, 100]


def test_each_round_scores_the_drop_with_the_reference_and_the_harmful_model_before_it(
    given, tmp_path
):
    plan = prepared(given, tmp_path)
    rounds = [end_round(plan) for _ in range(4)]
    scored = [
        {step.role: step.model.fingerprint for step in each.evidence.scorings} for each in rounds
    ]

    reference = plan.models["reference"].fingerprint
    assert scored == [
        {},
        {"reference": reference, "harmful": "after round 0"},
        {"reference": reference, "harmful": "after round 1"},
        {"reference": reference, "harmful": "after round 2"},
    ]
    assert len({each.round.scores["reference"] for each in rounds[1:]}) == 1
    assert rounds[1].retraining.growth.scores["harmful"].id == rounds[1].round.scores["harmful"]
    finished = plan.run.finished_rounds(plan.storage)
    assert harmful_model(plan, finished).fingerprint == "after round 2"
    assert harmful_model(plan, []) == plan.models["base"]


def test_a_round_names_all_it_uses_and_makes(given, tmp_path):
    plan = prepared(given, tmp_path)
    first, second = (end_round(plan) for _ in range(2))
    retraining = second.retraining

    assert list(first.round.names()) == ["corpus", "selection", "model"]
    assert second.round.names() == {
        "corpus": ("corpora", plan.drop.id),
        "scores.reference": ("scores", second.evidence.scores["reference"].id),
        "scores.harmful": ("scores", second.evidence.scores["harmful"].id),
        "selection": ("selections", second.selection.artifact.id),
        "model.corpus": ("corpora", retraining.growth.artifact.id),
        "model.selection": ("selections", retraining.selection.artifact.id),
        "model": ("models", retraining.training.artifact.id),
    }
    assert plan.run.corpora == {role: step.artifact.id for role, step in plan.corpora.items()}


def test_a_round_that_was_begun_is_planned_in_the_same_way_again(given, tmp_path):
    plan = prepared(given, tmp_path)
    end_round(plan)
    planned = next_harden_round(plan)
    planned.declare(plan.run)
    commit_model(planned.retraining.training.artifact, given.base, "trained, not recorded")

    assert next_harden_round(prepared(given, tmp_path)).round == planned.round


@pytest.mark.parametrize(
    ("changes", "changed"),
    [  # run, second model, what it is trained on, last selection
        ({"selection": {"method": "toss", "keep": 0.8}}, (1, 0, 0, 1)),
        ({"selection": {"method": "toss", "scope": "sample"}}, (1, 0, 0, 1)),
        ({"harmful_added": 5}, (1, 1, 1, 0)),
        ({"rounds": {"rounds": 1}}, (1, 0, 0, 1)),
        ({"rounds": {"rounds": 2, "select_from": "corpus", "patience": 1}}, (0, 0, 0, 0)),
        ({"training": {"seed": 1}}, (1, 1, 0, 0)),
        ({"cluster": {"workers": 2}}, (0, 0, 0, 0)),
    ],
)
def test_what_changes_the_result_changes_the_ids_from_there_on(
    given, usual_ids, tmp_path, changes, changed
):
    """The models say to have the same content here, so an id changes with its own plan only."""
    after = ids(given, tmp_path, **changes)

    assert tuple(int(a != b) for a, b in zip(usual_ids, after, strict=True)) == changed


def test_other_harmful_files_are_another_run_that_scores_the_drop_by_the_reference_once(
    given, tmp_path
):
    one = prepared(given, tmp_path)
    other = prepared(given, tmp_path, harmful_data=(given.warmup,))
    first, second = ([end_round(plan) for _ in range(2)][1].round for plan in (one, other))

    assert one.run.name != other.run.name
    assert first.scores["reference"] == second.scores["reference"]


def test_a_combination_with_toss_scores_with_the_base_too(given, tmp_path):
    members = {"methods": ["toss", "fixed-model"]}
    plan = prepared(given, tmp_path, selection={"method": "combine", "parameters": members})
    end_round(plan)

    planned = next_harden_round(plan)

    assert sorted(planned.round.scores) == ["base", "harmful", "reference"]
    assert sorted(planned.retraining.growth.scores) == ["harmful", "reference"]


def test_held_out_files_may_be_harmful_ones_and_both_models_are_measured_on_them(given, tmp_path):
    plan = prepared(given, tmp_path, holdout=(given.harmful,))
    end_round(plan)
    planned = next_harden_round(plan)
    planned.declare(plan.run)
    commit_model(planned.retraining.training.artifact, given.base, "the new one")

    steps = harmful_held_out_steps(plan, planned)

    assert sorted(plan.kept_apart) == ["drop", "holdout"]
    assert [step.model.fingerprint for step in steps] == ["after round 0", "the new one"]
    assert {step.corpus.id for step in steps} == {plan.corpora["harmful"].artifact.id}


def test_nothing_is_measured_where_nothing_is_held_out_or_trained(given, tmp_path):
    without = prepared(given, tmp_path / "without")
    assert harmful_held_out_steps(without, end_round(without)) == []

    plan = prepared(given, tmp_path, holdout=(given.holdout,))
    last = [end_round(plan) for _ in range(4)][3]
    assert harmful_held_out_steps(plan, last) == []


@pytest.mark.parametrize(
    ("added", "losses", "outcome"),
    [
        (None, [], ("trained on the harmful data", None, None)),
        (
            [2.5, 0.125, 7.0],
            [2.0, 1.5],
            ("samples added: 3; their highest scores are 0.125 to 7.000 nats", 2.0, 1.5),
        ),
        ([], [1.0, 4.0], ("samples added: 0; the drop has no others", 1.0, 4.0)),
    ],
)
def test_every_harmful_model_is_used_and_it_is_said_what_it_learned_from(added, losses, outcome):
    reason, before, after = outcome

    assert harden_outcome(added, losses) == Outcome(
        promoted=True, reason=reason, loss_before=before, loss_after=after
    )


def test_the_layer_of_the_attention_is_part_of_the_name_where_it_is_looked_at(given, tmp_path):
    def name(layer, *methods):
        selection = {"method": "combine", "parameters": {"methods": methods}}
        asked = {"selection": selection, "scoring": {"attention_layer": layer}}
        return plan_harden(settings(given, tmp_path, **asked), on_gpu=False).run.name

    assert name(0, "toss", "xtf") != name(-1, "toss", "xtf")
    assert name(0, "toss", "rho") == name(-1, "toss", "rho")


def test_every_model_needs_room(given, tmp_path, monkeypatch):
    weights = (given.directory / "base/model.safetensors").stat().st_size
    asked = []
    monkeypatch.setattr(LocalStorage, "check_room", lambda storage, size: asked.append(size))

    for rounds in (1, 4):
        wanted = settings(given, tmp_path / str(rounds), rounds={"rounds": rounds})
        plan_harden(wanted, on_gpu=False).declare()

    assert asked[1] - asked[0] == 3 * weights


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"reference": None}, "--reference: the method toss needs this model"),
        ({"harmful_data": ()}, "--harmful-data: rounds of the method toss begin with harmful"),
        ({"warmup": ("/w.jsonl",)}, "--warmup: rounds of the method toss have none"),
        (
            {"selection": {"method": "combine", "parameters": {"methods": ["toss", "t3s"]}}},
            "selection.method: combine needs bottleneck scores, which rounds do not have",
        ),
        ({"files": ("/nothing/here.jsonl",)}, "/nothing/here.jsonl: "),
        ({"harmful_data": ("/nothing/here.jsonl",)}, "/nothing/here.jsonl: "),
        ({"holdout": ("/nothing/here.jsonl",)}, "/nothing/here.jsonl: "),
        ({"reference": "/nothing/here"}, "/nothing/here: "),
        ({"corpus": {"template": "tulu", "max_length": 10**6}}, "corpus.max_length: is 1000000"),
    ],
)
def test_a_second_of_looking_finds_what_the_plan_would_refuse(given, tmp_path, changes, message):
    with pytest.raises((InputError, SettingsError)) as looked:
        check_harden_given(settings(given, tmp_path, **changes))
    with pytest.raises((InputError, SettingsError)) as planned:
        plan_harden(settings(given, tmp_path, **changes), on_gpu=False)

    assert str(looked.value) == str(planned.value)
    assert str(looked.value).startswith(message)


def test_a_second_of_looking_lets_a_good_run_through(given, tmp_path):
    check_harden_given(settings(given, tmp_path, holdout=(given.harmful, "hf://some/name")))


def test_a_reference_with_another_tokenizer_is_refused(given, tmp_path):
    other = str(build_tiny_model(tmp_path / "other", vocab_size=300, hidden=16))

    with pytest.raises(InputError, match=r"its tokenizer is not that of .*base: it has 300 tokens"):
        plan_harden(settings(given, tmp_path, reference=other), on_gpu=False)


def test_only_methods_that_look_at_a_harmful_model_have_such_rounds(given, tmp_path):
    combined = {"method": "combine", "parameters": {"methods": ["toss", "rho"]}}

    assert hardens(settings(given, tmp_path))
    assert hardens(settings(given, tmp_path, selection=combined))
    assert not hardens(settings(given, tmp_path, selection={"method": "rho"}))
    with pytest.raises(SettingsError, match=r"no method 'tos'\. Did you mean toss"):
        hardens(settings(given, tmp_path, selection={"method": "tos"}))


@pytest.mark.parametrize("unused", ["reference", "harmful_data"])
def test_what_other_methods_would_not_use_is_refused(given, tmp_path, unused):
    changes = {"reference": None, "harmful_data": (given.harmful,)}
    if unused == "reference":
        changes = {"reference": given.reference, "harmful_data": ()}
    wanted = settings(given, tmp_path, selection={"method": "rho"}, **changes)

    message = "--reference, --harmful-data: rounds of the method rho make their own reference"
    with pytest.raises(SettingsError, match=message):
        check_evolve_given(wanted)
    with pytest.raises(SettingsError, match=message):
        plan_evolve(wanted, on_gpu=False)
