"""The rounds of an evolving reference: which model scores and trains what, and when it ends."""

from itertools import pairwise

import pytest

from tests.tiny_plans import commit_corpus, commit_model, end_round, make_inputs
from tokensieve.errors import InputError, SettingsError
from tokensieve.planning import (
    EvolvePlan,
    RoundPlan,
    check_evolve_given,
    current_reference,
    held_out_steps,
    next_round,
    outcome_of,
    plan_evolve,
    reason_to_stop,
)
from tokensieve.runs import Outcome
from tokensieve.settings import EvolveSettings
from tokensieve.storage import LocalStorage


@pytest.fixture(scope="module")
def given(tmp_path_factory):
    return make_inputs(tmp_path_factory.mktemp("given"))


def settings(given, workspace, **changes) -> EvolveSettings:
    values = {
        "files": (given.drop,),
        "base": given.base,
        "workspace": str(workspace),
        "corpus": {"template": "tulu"},
        "rounds": {"rounds": 3},
    }
    return EvolveSettings(**{**values, **changes})


def prepared(given, workspace, **changes) -> EvolvePlan:
    """Return a plan that is declared and whose corpora are made."""
    plan = plan_evolve(settings(given, workspace, **changes), on_gpu=False)
    plan.declare()
    for step in plan.corpora.values():
        commit_corpus(step)
    return plan


def ids(given, workspace, **changes) -> tuple[str, ...]:
    """Return the run's name and the ids of the first two rounds' selections and models."""
    plan = prepared(given, workspace, **changes)
    rounds = [end_round(plan).round for _ in range(2)]
    return (plan.run.name, *(id for each in rounds for id in (each.selection, each.model)))


def reference_of(planned: RoundPlan) -> str | None:
    """Return the fingerprint of the model that scores the round's corpus, if one does."""
    found = [step.model.fingerprint for step in planned.evidence.scorings]
    return found[0] if found else None


@pytest.fixture(scope="module")
def usual_ids(given, tmp_path_factory):
    return ids(given, tmp_path_factory.mktemp("usual"))


def test_planning_writes_nothing(given, tmp_path):
    plan_evolve(settings(given, tmp_path / "w"), on_gpu=False)

    assert not (tmp_path / "w").exists()


def test_each_round_scores_its_part_with_the_base_and_the_last_model_and_trains_that_on(
    given, tmp_path
):
    """Token Cleaning (arXiv 2502.01968): theta_0 never moves, theta_t is reference and init."""
    plan = prepared(given, tmp_path)
    base = plan.base.model.fingerprint
    rounds = [end_round(plan) for _ in range(4)]

    assert plan.num_parts == 4
    assert [
        (each.part.artifact.plan["part"], each.part.artifact.plan["num_parts"]) for each in rounds
    ] == [
        (0, 4),
        (1, 4),
        (2, 4),
        (3, 4),
    ]
    assert [each.selection.settings.method for each in rounds] == ["full", *["fixed-model"] * 3]
    assert [reference_of(each) for each in rounds] == [
        None,
        "after round 0",
        "after round 1",
        "after round 2",
    ]
    assert [each.training.artifact.plan["init"] for each in rounds] == [
        base,
        "after round 0",
        "after round 1",
        "after round 2",
    ]
    assert [each.base_scores and each.base_scores.plan["of"] for each in rounds] == [
        None,
        *[plan.base.artifact.id] * 3,
    ]
    assert plan.base.artifact.plan["model"] == base
    assert next_round(plan) is None
    assert current_reference(plan, plan.run.finished_rounds(plan.storage)).fingerprint == (
        "after round 3"
    )


def test_a_round_names_all_it_uses_and_makes(given, tmp_path):
    plan = prepared(given, tmp_path)
    end_round(plan)

    planned = next_round(plan)

    part = planned.part.artifact.id
    assert planned.round.corpus == planned.evidence.scores["reference"].plan["corpus"] == part
    assert planned.round.scores == {
        "base": planned.base_scores.id,
        "reference": planned.evidence.scores["reference"].id,
    }
    assert planned.selection.artifact.plan["scores"] == planned.round.scores
    assert planned.training.artifact.plan["selection"] == planned.round.selection
    assert planned.training.artifact.plan["corpus"] == part


def test_files_of_a_warm_up_are_round_0_and_every_later_round_has_a_part(given, tmp_path):
    plan = prepared(given, tmp_path, warmup=(given.warmup,))
    rounds = [end_round(plan) for _ in range(4)]

    assert plan.num_parts == 3
    assert rounds[0].part is None
    assert rounds[0].round.corpus == plan.corpora["warmup"].artifact.id
    assert [each.part.artifact.plan["part"] for each in rounds[1:]] == [0, 1, 2]
    assert plan.run.corpora == {
        "drop": plan.corpora["drop"].artifact.id,
        "warmup": plan.corpora["warmup"].artifact.id,
    }


def test_rounds_may_select_from_all_of_the_corpus_again(given, tmp_path):
    plan = prepared(given, tmp_path, rounds={"rounds": 2, "select_from": "corpus"})
    rounds = [end_round(plan) for _ in range(3)]
    drop = plan.corpora["drop"].artifact.id

    assert rounds[0].part.artifact.plan["part"] == 0
    assert [each.part for each in rounds[1:]] == [None, None]
    assert [each.round.corpus for each in rounds[1:]] == [drop, drop]
    assert [each.base_scores.id for each in rounds[1:]] == [plan.base.artifact.id] * 2


def test_a_method_that_needs_no_scores_gets_none(given, tmp_path):
    plan = prepared(given, tmp_path, selection={"method": "random"})
    end_round(plan)

    planned = next_round(plan)

    assert (planned.base_scores, planned.evidence.scorings, planned.round.scores) == (None, (), {})


def test_the_former_reference_stays_when_a_model_is_rejected(given, tmp_path):
    plan = prepared(given, tmp_path)
    end_round(plan)
    end_round(plan, promoted=False)

    after = end_round(plan)

    assert reference_of(after) == "after round 0"
    assert after.training.artifact.plan["init"] == "after round 0"
    assert after.part.artifact.plan["part"] == 2


def test_a_round_that_was_begun_is_planned_in_the_same_way_again(given, tmp_path):
    plan = prepared(given, tmp_path)
    end_round(plan)
    planned = next_round(plan)
    planned.declare(plan.run)
    commit_model(planned.training.artifact, given.base, "trained, not judged")

    assert next_round(prepared(given, tmp_path)).round == planned.round


def test_a_run_that_was_stopped_has_no_next_round(given, tmp_path):
    plan = prepared(given, tmp_path)
    end_round(plan)
    plan.run.stop(plan.storage, "enough")

    assert next_round(plan) is None


@pytest.mark.parametrize(
    "changes",
    [
        {"cluster": {"workers": 2, "ranks": 4, "fsdp": True}},
        {"training": {"checkpoint_minutes": 0}},
        {"corpus": {"template": "tulu", "max_quarantine": 0.5}},
        {"scoring": {"max_non_finite": 0.5}},
        {"training": {"learning_rate": 1e-4}},  # which is what lora has anyway
    ],
)
def test_what_does_not_change_the_result_does_not_change_an_id(given, usual_ids, tmp_path, changes):
    assert ids(given, tmp_path, **changes) == usual_ids


@pytest.mark.parametrize(
    ("changes", "changed"),
    [  # run, first selection, first model, second selection, second model
        ({"training": {"seed": 1}}, (1, 0, 1, 0, 1)),
        ({"training": {"learning_rate": 3e-4}}, (1, 0, 1, 0, 1)),
        ({"training": {"tuning": "full"}}, (1, 0, 1, 0, 1)),
        ({"training": {"lora": {"rank": 8}}}, (1, 0, 1, 0, 1)),
        ({"training": {"precision": "bfloat16"}}, (1, 0, 1, 0, 1)),
        ({"scoring": {"dtype": "bfloat16"}}, (1, 0, 0, 1, 1)),
        ({"selection": {"keep": 0.5}}, (1, 0, 0, 1, 1)),
        ({"rounds": {"rounds": 4}}, (1, 1, 1, 1, 1)),
        ({"rounds": {"rounds": 3, "select_from": "corpus"}}, (1, 0, 0, 1, 1)),
        ({"rounds": {"rounds": 3, "tolerance": 0.1}}, (1, 0, 0, 0, 0)),
        ({"rounds": {"rounds": 3, "patience": None}}, (1, 0, 0, 0, 0)),
    ],
)
def test_what_changes_the_result_changes_the_ids_from_there_on(given, tmp_path, changes, changed):
    """The models say to have the same content here, so an id changes with its own plan only."""
    fixed = {"training": {"precision": "float32"}, "scoring": {"dtype": "float32"}}
    before = ids(given, tmp_path / "before", **fixed)
    laid_over = {group: {**fixed.get(group, {}), **values} for group, values in changes.items()}

    after = ids(given, tmp_path / "after", **{**fixed, **laid_over})

    assert tuple(int(a != b) for a, b in zip(before, after, strict=True)) == changed


def test_a_learning_rate_of_lora_is_no_setting_of_full_tuning(given, tmp_path):
    lora, other = (
        ids(given, tmp_path / str(rank), training={"tuning": "full", "lora": {"rank": rank}})
        for rank in (4, 8)
    )

    assert lora == other


def plan_with(given, tmp_path, **rounds) -> EvolvePlan:
    return prepared(given, tmp_path, rounds={"rounds": 8, **rounds})


def test_the_first_reference_is_taken_whatever_its_loss(given, tmp_path):
    plan = plan_with(given, tmp_path)

    assert outcome_of(plan, 0, [2.0, 9.0]) == Outcome(
        promoted=True, reason="the first reference", loss_before=2.0, loss_after=9.0
    )


@pytest.mark.parametrize(
    ("tolerance", "after", "promoted", "reason"),
    [
        (0.0, 1.75, True, "held-out loss -0.2500 nats"),
        (0.0, 2.0, True, "held-out loss +0.0000 nats"),
        (0.0, 2.25, False, "held-out loss +0.2500 nats is worse by more than 0"),
        (0.25, 2.25, True, "held-out loss +0.2500 nats"),
        (0.25, 2.375, False, "held-out loss +0.3750 nats is worse by more than 0.25"),
    ],
)
def test_a_later_model_is_promoted_within_the_tolerance(
    given, tmp_path, tolerance, after, promoted, reason
):
    plan = plan_with(given, tmp_path, tolerance=tolerance)

    assert outcome_of(plan, 3, [2.0, after]) == Outcome(
        promoted=promoted, reason=reason, loss_before=2.0, loss_after=after
    )


def test_where_nothing_is_held_out_every_model_is_promoted(given, tmp_path):
    outcome = outcome_of(plan_with(given, tmp_path), 3, [])

    assert (outcome.promoted, outcome.reason) == (True, "nothing is held out")


def test_the_former_reference_and_the_new_model_are_measured_on_the_held_out_corpus(
    given, tmp_path
):
    plan = prepared(given, tmp_path, holdout=(given.holdout,))
    end_round(plan)
    end_round(plan, promoted=False)
    planned = next_round(plan)
    planned.declare(plan.run)
    commit_model(planned.training.artifact, given.base, "the new one")

    steps = held_out_steps(plan, planned)

    assert [step.model.fingerprint for step in steps] == ["after round 0", "the new one"]
    assert {step.corpus.id for step in steps} == {plan.corpora["holdout"].artifact.id}


def test_the_warm_up_is_measured_beside_the_base(given, tmp_path):
    plan = prepared(given, tmp_path, holdout=(given.holdout,))
    planned = next_round(plan)
    commit_model(planned.training.artifact, given.base, "the first")

    former, new = held_out_steps(plan, planned)

    assert (former.model, new.model.fingerprint) == (plan.base.model, "the first")
    assert held_out_steps(prepared(given, tmp_path / "none"), planned) == []


@pytest.mark.parametrize(
    ("patience", "losses", "best"),
    [  # the first is the base's; `best` where the run stops
        (2, [4.0, 3.0, 3.0], None),
        (2, [4.0, 3.0, 3.0, 3.0], "3.0000"),
        (2, [4.0, 3.0, 2.0, 2.5, 2.0], "2.0000"),
        (2, [4.0, 3.0, 2.0, 2.5, 1.9], None),
        (2, [4.0, 3.0, 3.5, 2.9, 3.5], None),
        (1, [4.0, 3.0], None),
        (1, [4.0, 3.0, 2.0, 2.0], "2.0000"),
        (1, [4.0, 4.5], None),
        (1, [4.0, 5.0, 4.5], "4.0000"),
        (2, [4.0, 5.0, 4.5], None),
        (8, [4.0, *[5.0] * 8], None),
        (None, [4.0, 4.0, 5.0, 6.0, 7.0], None),
    ],
)
def test_a_run_stops_when_so_many_rounds_brought_no_lower_loss_than_any_before(
    given, tmp_path, patience, losses, best
):
    plan = plan_with(given, tmp_path, patience=patience)
    for pair in pairwise(losses):
        end_round(plan, losses=pair)

    said = f"no gain in held-out loss in {patience} rounds (best: {best} nats)"
    assert reason_to_stop(plan) == (said if best else "")


def test_a_run_without_a_held_out_loss_does_not_stop(given, tmp_path):
    plan = plan_with(given, tmp_path, patience=1)
    for _ in range(4):
        end_round(plan)

    assert reason_to_stop(plan) == ""


def test_too_few_samples_for_the_rounds_are_refused(given, tmp_path):
    plan = prepared(given, tmp_path, rounds={"rounds": 23})

    with pytest.raises(SettingsError, match="23 samples, too few for 24 parts"):
        next_round(plan)


def test_every_round_needs_room_for_a_model(given, tmp_path, monkeypatch):
    weights = (given.directory / "base/model.safetensors").stat().st_size
    asked = []
    monkeypatch.setattr(LocalStorage, "check_room", lambda storage, size: asked.append(size))

    for rounds in (3, 5):
        wanted = settings(given, tmp_path / str(rounds), rounds={"rounds": rounds})
        plan_evolve(wanted, on_gpu=False).declare()

    assert asked[1] - asked[0] == 2 * weights


@pytest.mark.parametrize(
    "changes",
    [
        {"files": ("/nothing/here.jsonl",)},
        {"warmup": ("/nothing/here.jsonl",)},
        {"holdout": ("/nothing/here.jsonl",)},
        {"base": "/nothing/here"},
        {"corpus": {"template": "model"}},  # the tiny model has none of its own
        {"corpus": {"template": "tulu", "max_length": 10**6}},
        {"selection": {"method": "rhoo"}},
        {"selection": {"method": "rho-1"}},
        {"selection": {"method": "full", "keep": 0.5}},
    ],
)
def test_a_second_of_looking_finds_what_the_plan_would_refuse(given, tmp_path, changes):
    with pytest.raises((InputError, SettingsError)) as looked:
        check_evolve_given(settings(given, tmp_path, **changes))
    with pytest.raises((InputError, SettingsError)) as planned:
        plan_evolve(settings(given, tmp_path, **changes), on_gpu=False)

    assert str(looked.value) == str(planned.value)


def test_a_second_of_looking_lets_a_good_run_through(given, tmp_path):
    check_evolve_given(settings(given, tmp_path, holdout=(given.holdout, "hf://some/name")))


def test_a_method_for_which_the_reference_and_the_model_in_training_are_one_is_refused(
    given, tmp_path
):
    for method in ({"method": "rho-1"}, combined("rho-1", "profit")):
        with pytest.raises(SettingsError, match="begins to train at its reference: they are one"):
            check_evolve_given(settings(given, tmp_path, selection=method))
    for method in ({"method": "sstoken-online"}, combined("reference-loss", "profit")):
        check_evolve_given(settings(given, tmp_path, selection=method))


def combined(*methods):
    return {"method": "combine", "parameters": {"methods": methods}}


@pytest.mark.parametrize("method", ["sstoken", "sstoken-online", "xtf"])
def test_the_layer_of_the_attention_is_part_of_the_name_where_it_is_looked_at(
    given, tmp_path, method
):
    def name(method, layer):
        asked = {"selection": {"method": method}, "scoring": {"attention_layer": layer}}
        return plan_evolve(settings(given, tmp_path, **asked), on_gpu=False).run.name

    assert name(method, 0) != name(method, -1)
    assert name("rho", 0) == name("rho", -1)


def test_the_base_is_scored_by_what_others_need_too(given, tmp_path):
    wanted = settings(given, tmp_path)

    alone = plan_evolve(wanted, on_gpu=False)
    shared = plan_evolve(wanted, on_gpu=False, base_columns=("received_attention", "nll"))

    assert alone.base.columns == ("nll", "entropy")
    assert shared.base.columns == ("nll", "entropy", "received_attention")
    assert alone.run.name != shared.run.name


def test_after_a_rejection_the_same_corpus_would_give_the_same_round_again(given, tmp_path):
    plan = prepared(given, tmp_path, rounds={"rounds": 3, "select_from": "corpus"})
    end_round(plan)
    assert reason_to_stop(plan) == ""

    end_round(plan, promoted=False)

    assert reason_to_stop(plan) == (
        "the reference stayed as it was, so the next round would be the same again"
    )
