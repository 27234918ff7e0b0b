"""Methods together: votes, places, and what cannot be combined."""

import numpy as np
import pytest

from tests.judging import NAN, X, decided, kept, reasons, scores_of, selector_of, shard_of
from tokensieve.errors import SettingsError
from tokensieve.methods import Evidence, find_method
from tokensieve.methods.combine import COMBINE, CombineParameters
from tokensieve.methods.method import Fitting, Source
from tokensieve.methods.places import Ranking, fit_rankings
from tokensieve.settings import SelectionSettings

LOSS = [1.0, 2.0, 3.0, 4.0, 5.0]
ENTROPY = [2.0, 1.0, 5.0, 3.0, 4.0]


def evidence_of(number: int = 0, **roles: dict[str, list[float]]) -> Evidence:
    """Return one sample, whose first token is its prompt."""
    rows = {
        role: {name: [[NAN, *values]] for name, values in columns.items()}
        for role, columns in roles.items()
    }
    num_tokens = len(next(iter(next(iter(roles.values())).values())))
    return Evidence(shard_of([[X, *range(num_tokens)]], first=number), scores_of(**rows), 0, number)


def self_reference(loss: list[float] = LOSS, entropy: list[float] = ENTROPY) -> Evidence:
    return evidence_of(reference={"nll": loss, "entropy": entropy})


def test_the_default_keeps_what_both_loss_and_entropy_keep():
    decision = decided("combine", self_reference())  # 3 of 5 by each: int(5 x 0.7)
    assert kept(decision) == [1, 2]
    assert reasons(decision)[1:] == [
        None,
        None,
        "reference-entropy",
        "reference-loss",
        "reference-loss+reference-entropy",
    ]
    assert decision.attributes["reference_loss_score"][1:].tolist() == LOSS
    assert decision.attributes["reference_entropy_score"][1:].tolist() == ENTROPY


def test_the_union_keeps_what_either_keeps():
    decision = decided("combine", self_reference(), {"how": "union"})
    assert kept(decision) == [1, 2, 3, 4]
    decision = decided("combine", self_reference(), {"how": "union", "keep": 0.2})
    assert kept(decision) == [1, 2]


def test_each_member_chooses_by_its_own_rule_and_parameters():
    evidence = evidence_of(
        base={"nll": [4.0, 1.0, 3.0, 0.5]},
        reference={"nll": [1.0, 0.9, 0.1, 0.2]},
        harmful={"nll": [1.0, 5.0, 5.0, 0.0]},
    )
    parameters = {"methods": ["fixed-model", "toss"], "keep": 0.5}
    assert kept(decided("combine", evidence, parameters)) == [3]  # of 1 and 3, and of 2 and 3
    evidence = evidence_of(current={"nll": [0.1, 0.8, 0.2]}, reference={"nll": [0.0, 0.0, 0.0]})
    parameters = {"methods": ["profit", "rho-1"], "keep": 1.0}
    assert kept(decided("combine", evidence, parameters)) == [1, 2, 3]
    parameters["parameters"] = {"profit": {"tau": 0.5}}
    assert kept(decided("combine", evidence, parameters)) == [1, 3]


def test_members_that_act_at_each_step_make_the_whole_act_at_each_step():
    online = find_method("combine", {"methods": ["profit", "reference-loss"]})
    assert online.acts == "at each step"
    assert online.columns == {"current": ("nll",), "reference": ("nll",)}
    assert COMBINE.acts == "once"


def test_all_members_choose_among_the_tokens_that_have_every_score():
    evidence = self_reference(loss=[1.0, 2.0, 3.0, 4.0, NAN], entropy=[NAN, 1.0, 5.0, 3.0, 4.0])
    decision = decided("combine", evidence, {"how": "union", "keep": 0.34})
    assert kept(decision) == [2]  # of three candidates the best one by each
    assert np.isnan(decision.score_T).tolist() == [True, True, False, False, False, True]
    drawn = decided(
        "combine", evidence, {"methods": ["random", "reference-loss"], "how": "union", "keep": 1.0}
    )
    assert kept(drawn) == [2, 3, 4]


def test_places_are_averaged_over_the_members():
    decision = decided("combine", self_reference(), {"how": "rank"}, keep=0.4)
    # places by loss 1 .75 .5 .25 0, by entropy .75 1 0 .5 .25
    assert decision.score_T[1:].tolist() == [0.875, 0.875, 0.25, 0.375, 0.125]
    assert kept(decision) == [1, 2]
    assert decision.attributes["reference_entropy_place"][1:].tolist() == [0.75, 1, 0, 0.5, 0.25]
    assert decision.reason_T is None


def test_places_are_weighted():
    parameters = {"how": "rank", "weights": [1, 3]}
    decision = decided("combine", self_reference(), parameters, keep=0.2)
    assert kept(decision) == [2]
    assert decision.score_T[1:].tolist() == [0.8125, 0.9375, 0.125, 0.4375, 0.1875]


def test_equal_numbers_share_a_place():
    decision = decided(
        "combine", self_reference([1.0, 1.0, 2.0, 2.0, 2.0], [7.0] * 5), {"how": "rank"}
    )
    assert decision.attributes["reference_loss_place"][1:].tolist() == [
        0.875,
        0.875,
        0.25,
        0.25,
        0.25,
    ]
    assert decision.attributes["reference_entropy_place"][1:].tolist() == [0.5] * 5


def test_a_number_between_two_lies_between_their_places_and_nan_has_none():
    ranking = Ranking(find_method("rho"), None, np.array([1.0, 2.0, 3.0]))
    places = ranking.places(np.array([1.0, 1.5, 3.0, 0.0, 9.0, NAN]))
    np.testing.assert_array_equal(places, [0, 0.25, 1, 0, 1, NAN])


def test_places_are_those_of_the_whole_corpus():
    shards = [
        evidence_of(n, reference={"nll": loss, "entropy": loss})
        for n, loss in enumerate(([1.0, 4.0], [2.0, 3.0, 5.0]))
    ]
    selector = selector_of(find_method("combine", {"how": "rank"}), shards, keep=0.6)
    places = [selector.decide(each).score_T[1:].tolist() for each in shards]
    assert places == [[1, 0.25], [0.75, 0.5, 0]]
    assert [kept(selector.decide(each)) for each in shards] == [[1], [1, 2]]
    assert selector.notes["stride"] == 1


@pytest.mark.parametrize("max_held", [100, 1000])
def test_in_bounded_memory_places_are_off_by_no_more_than_is_said(max_held):
    rng = np.random.default_rng(0)
    shards = [
        evidence_of(n, reference={"nll": rng.normal(size=size).tolist()})
        for n, size in enumerate((1700, 3, 900, 2400))
    ]
    loss = find_method("reference-loss")
    fitting = Fitting(Source(shards.__getitem__, 4), SelectionSettings())
    exact = fit_rankings((loss,), fitting).rankings[0]
    rankings = fit_rankings((loss,), fitting, max_held)
    [coarse] = rankings.rankings
    assert len(coarse.preference_H) == -(-5003 // rankings.stride) <= max_held
    value = np.sort(exact.preference_H)
    difference = np.abs(coarse.places(value) - exact.places(value)).max()
    assert difference <= 4 * rankings.stride / 5003


def test_one_candidate_and_none_are_ranked():
    alone = evidence_of(reference={"nll": [1.0], "entropy": [2.0]})
    assert kept(decided("combine", alone, {"how": "rank"}, keep=1.0)) == [1]
    scores = {"reference": {name: np.zeros(0, np.float32) for name in ("nll", "entropy")}}
    nobody = Evidence(shard_of([]), scores, 0)
    assert kept(decided("combine", nobody, {"how": "rank"})) == []


def test_what_the_members_have_learned_goes_on_record():
    selector = selector_of(COMBINE, [self_reference()])
    assert selector.notes["reference-loss"]["thresholds"][""]["score"] == 3.0
    assert selector.notes["reference-entropy"]["fitted"] == {}


@pytest.mark.parametrize(
    ("parameters", "told"),
    [
        ({"methods": ["rho"]}, "at least 2 items"),
        ({"methods": ["rho", "rho"]}, "named twice"),
        ({"methods": ["rho", "combine"]}, "combine cannot be one of its own"),
        ({"methods": ["rho", "ro"]}, "no method 'ro'. Did you mean rho"),
        ({"methods": ["rho", "dft"]}, "dft weighs tokens"),
        ({"methods": ["rho", "forgetting"]}, "forgetting weighs tokens"),
        ({"methods": ["profit", "xtf"]}, "profit chooses at every step .* xtf has to see"),
        ({"methods": ["sieve", "rho-1"]}, "rho-1 chooses at every step .* sieve has to see"),
        ({"parameters": {"xtf": {"novelty": 0.1}}}, "'xtf' is none of the methods"),
        ({"parameters": {"reference-loss": {"x": 1}}}, "the method reference-loss has none"),
        ({"weights": [1, 2]}, "weights: are of no account to intersection"),
        ({"how": "rank", "weights": [1]}, "weights: are .* for 2 methods"),
        ({"how": "rank", "weights": [0, 0]}, "not all of them 0"),
        ({"how": "rank", "weights": [-1, 2]}, "greater than or equal to 0"),
        ({"how": "rank", "weights": [float("inf"), 1]}, "finite number"),
        ({"methods": "rho,xtf"}, r"methods: is no list \(got 'rho,xtf'\)\. Write \[\"rho\", \"xtf"),
    ],
)
def test_what_cannot_be_combined_is_refused(parameters, told):
    with pytest.raises(SettingsError, match=told):
        find_method("combine", parameters)


def test_the_parameters_of_the_members_are_whole():
    parameters = {"methods": ["sstoken", "rho"], "parameters": {"sstoken": {"gamma": 1}}}
    resolved = find_method("combine", parameters).parameters.parameters
    assert resolved == {"sstoken": {"gamma": 1.0, "first_position": True}}


def test_a_combination_draws_and_embeds_as_its_members_do():
    parameters = CombineParameters(methods=("random", "xtf"))
    method = find_method("combine", parameters.model_dump())
    assert (method.draws, method.embeds, method.plants) == (True, True, False)
    assert (COMBINE.draws, COMBINE.embeds) == (False, False)
