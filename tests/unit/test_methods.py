"""What each method's number is, and that it depends on nothing else."""

import hashlib
import math

import numpy as np
import pytest

from tests.judging import decided
from tokensieve.corpus import Shard
from tokensieve.errors import SettingsError
from tokensieve.methods import METHODS, Evidence, find_method
from tokensieve.methods.facts import describe_method, describe_methods, method_facts
from tokensieve.scoring import COLUMNS
from tokensieve.selection import select_shard
from tokensieve.settings import SelectionSettings
from tokensieve.thresholds import find_thresholds

EMBEDDINGS = np.eye(8, 3, dtype=np.float32) + 0.1


def make_shard(sample_ids: list[str], length: int = 3) -> Shard:
    num_tokens = len(sample_ids) * length
    return Shard(
        sample_ids=sample_ids,
        sources=["a"] * len(sample_ids),
        offsets_N1=np.arange(0, num_tokens + 1, length, dtype=np.int64),
        input_ids_T=np.arange(num_tokens, dtype=np.int32),
        response_T=np.ones(num_tokens, dtype=bool),
        turn_T=np.zeros(num_tokens, dtype=np.int16),
    )


def test_influence_is_base_minus_reference_in_double_precision():
    base_T = np.array([9.0, 2.0, 0.1], dtype=np.float32)
    reference_T = np.array([9.0, 0.5, 1e-8], dtype=np.float32)
    scores = {"base": {"nll": base_T}, "reference": {"nll": reference_T}}
    scored = METHODS["fixed-model"].scored(Evidence(make_shard(["x"]), scores, seed=0))
    assert scored.score_T.dtype == np.float64
    assert math.isnan(scored.score_T[0])  # no model can predict the first token
    assert scored.score_T[1] == 1.5
    assert scored.score_T[2] == float(base_T[2]) - float(reference_T[2])


def test_a_score_missing_from_either_model_makes_no_candidate():
    nan = math.nan
    base_T = np.array([nan, nan, 1.0, 1.0], dtype=np.float32)
    reference_T = np.array([nan, 1.0, nan, 0.5], dtype=np.float32)
    scores = {"base": {"nll": base_T}, "reference": {"nll": reference_T}}
    scored = METHODS["rho"].scored(Evidence(make_shard(["x"], length=4), scores, seed=0))
    assert scored.candidates()[0].tolist() == [False, False, False, True]


@pytest.mark.parametrize("name", [name for name in METHODS if name != "sieve"])
def test_tokens_outside_the_answer_are_no_candidates_of_any_method(name):
    shard = make_shard(["x", "y"])
    shard.response_T[4] = False
    ones_T = np.ones(6, dtype=np.float32)
    columns = METHODS[name].columns
    scores = {role: dict.fromkeys(names, ones_T) for role, names in columns.items()}
    decision = decided(name, Evidence(shard, scores, seed=0), embeddings=EMBEDDINGS)
    assert np.flatnonzero(~np.isnan(decision.score_T)).tolist() == [1, 2, 5]
    assert decision.weight_T[[0, 3, 4]].tolist() == [0, 0, 0]


def test_a_random_number_depends_only_on_seed_sample_and_position():
    def numbers(sample_ids, seed):
        shard = make_shard(sample_ids, length=50)
        score_T = METHODS["random"].scored(Evidence(shard, {}, seed)).score_T
        return dict(zip(sample_ids, score_T.reshape(-1, 50)[:, 1:].tolist(), strict=True))

    together = numbers(["x", "y", "z"], seed=1)
    assert numbers(["z"], seed=1) | numbers(["y", "x"], seed=1) == together
    assert numbers(["x"], seed=2)["x"] != together["x"]
    assert together["x"] != together["y"]
    assert len({number for each in together.values() for number in each}) == 3 * 49


def test_the_random_numbers_never_change():
    scored = METHODS["random"].scored(Evidence(make_shard(["x"]), {}, seed=42))
    state = int.from_bytes(hashlib.blake2b(b"42:x", digest_size=8).digest(), "little")
    assert scored.score_T[1:].tolist() == [splitmix64(state, 2), splitmix64(state, 3)]
    assert scored.score_T[1:].tolist() == [0.6837086930002965, 0.054448575505888]


def splitmix64(state: int, steps: int) -> float:
    z = (state + steps * 0x9E3779B97F4A7C15) % 2**64
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB % 2**64
    return ((z ^ (z >> 31)) >> 11) / 2**53


def test_random_numbers_are_uniform():
    shard = make_shard([f"s{n}" for n in range(1000)], length=101)
    drawn = METHODS["random"].scored(Evidence(shard, {}, seed=0)).score_T
    drawn = drawn[~np.isnan(drawn)]
    tenths = np.bincount((drawn * 10).astype(int), minlength=10)
    chi_square = float(((tenths - 10_000) ** 2 / 10_000).sum())
    assert chi_square < 27.9  # 9 degrees of freedom: exceeded once in a thousand seeds
    neighbours = np.corrcoef(drawn[:-1], drawn[1:])[0, 1]
    assert abs(neighbours) < 0.01  # three standard deviations


@pytest.mark.parametrize("scope", ["dataset", "source", "sample"])
def test_random_keeps_the_exact_share_in_any_scope(scope):
    method = METHODS["random"]
    rule = method.rule(SelectionSettings(method="random", keep=0.6, scope=scope))
    shards = [
        method.scored(Evidence(make_shard([f"{s}-{n}" for n in range(7)], length=6), {}, seed=3))
        for s in range(2)
    ]
    thresholds = find_thresholds(shards.__getitem__, 2, rule)
    kept = sum(select_shard(each, s, rule, thresholds).sum() for s, each in enumerate(shards))
    assert (
        kept == {"dataset": 42, "source": 42, "sample": 14 * 3}[scope]
    )  # int(70 * .6), int(5 * .6)


def test_full_keeps_every_token_that_can_be_trained_whatever_the_share():
    method = METHODS["full"]
    rule = method.rule(SelectionSettings(method="full", keep=0.1))
    scored = method.scored(Evidence(make_shard(["x", "y"]), {}, seed=0))
    assert find_thresholds([scored].__getitem__, 1, rule) == {}
    assert select_shard(scored, 0, rule, {}).tolist() == [0, 1, 1, 0, 1, 1]


STATED = {
    "fixed-model": ("base.nll reference.nll", "high dataset 0.6 floor", "once"),
    "rho": ("base.nll reference.nll", "high sample 0.6 floor", "once"),
    "rho-1": ("current.nll reference.nll", "high dataset 0.6 floor", "at each step"),
    "reference-loss": ("reference.nll", "low dataset 0.7 floor", "once"),
    "reference-entropy": ("reference.entropy", "low dataset 0.7 floor", "once"),
    "sstoken": (
        "base.nll reference.nll reference.prompt_attention",
        "high sample 0.6 ceil",
        "once",
    ),
    "sstoken-online": (
        "base.nll current.nll current.prompt_attention",
        "high sample 0.6 ceil",
        "at each step",
    ),
    "xtf": ("base.nll base.received_attention", "test", "once"),
    "xtf-released": ("base.nll", "test", "once"),
    "toss": ("reference.nll harmful.nll", "low dataset 0.9 ceil", "once"),
    "t3s": ("base.nll bottleneck.nll", "test", "once"),
    "forgetting": (
        "base.nll reference.nll",
        "high dataset 0.7 floor",
        "once, weighted anew at each step",
    ),
    "q-tuning": ("current.nll current.entropy", "test", "at each step"),
    "profit": ("current.nll", "test", "at each step"),
    "dft": ("current.nll", "weight", "at each step"),
    "eaft": ("current.top_entropy", "weight", "at each step"),
    "ent": ("current.nll current.sum_p2", "low dataset 0.6 floor", "at each step"),
    "sieve": ("reference.nll", "test", "once"),
    "external": ("external.value", "high dataset 0.6 floor", "once"),
    "random": ("", "high dataset 0.6 floor", "once"),
    "full": ("", "test", "once"),
    "combine": ("reference.nll reference.entropy", "test", "once"),
}


@pytest.mark.parametrize("facts", method_facts(), ids=lambda facts: facts.name)
def test_a_method_states_what_it_needs_how_it_chooses_and_when(facts):
    needs = " ".join(f"{role}.{name}" for role, names in facts.needs.items() for name in names)
    shares = (facts.scope, facts.keep, facts.rounding)
    chooses = " ".join(str(each) for each in (facts.direction, *shares) if each is not None)
    assert (needs, chooses, facts.acts) == STATED[facts.name]
    assert len(facts.source) > 10
    assert facts.summary.startswith(("keeps", "drops", "weighs"))


def test_every_method_is_stated_here_and_every_column_exists():
    assert {facts.name for facts in method_facts()} >= STATED.keys()
    asked = {
        name for method in METHODS.values() for names in method.columns.values() for name in names
    }
    assert asked <= COLUMNS.keys() | {"value"}


@pytest.mark.parametrize("facts", method_facts(), ids=lambda facts: facts.name)
def test_every_parameter_is_described_and_configures_the_method(facts):
    defaults = {parameter.name: parameter.default for parameter in facts.parameters}
    assert all(parameter.description.endswith(".") for parameter in facts.parameters)
    assert find_method(facts.name, defaults).parameters == METHODS[facts.name].parameters


def test_the_description_of_a_method_names_its_parameters_and_their_defaults():
    lines = describe_method("q-tuning").splitlines()
    assert lines[2] == "source: Q-Tuning, arXiv 2509.23873, its project page; no parity is claimed"
    assert "needs of current: nll, entropy" in lines
    assert any(line.startswith('parameter token_direction="low": Which') for line in lines)
    assert describe_methods().count("\n\n") == len(METHODS)


def test_parameters_are_laid_over_the_defaults_and_wrong_ones_refused():
    assert find_method("sstoken", {"gamma": 0.25}).parameters.model_dump() == {
        "gamma": 0.25,
        "first_position": True,
    }
    with pytest.raises(SettingsError, match=r"parameters of sstoken: gama: .* did you mean gamma"):
        find_method("sstoken", {"gama": 0.25})
    with pytest.raises(SettingsError, match=r"parameters of profit: tau: .*less than or equal"):
        find_method("profit", {"tau": 2})
    with pytest.raises(SettingsError, match=r"the method rho has none \(got 'gamma'\)"):
        find_method("rho", {"gamma": 0.25})
    with pytest.raises(SettingsError, match=r"forgetting: t_min is above t_max\. Lower it"):
        find_method("forgetting", {"t_max": 0.1, "t_min": 0.2})


def test_the_scope_of_the_settings_goes_before_the_methods_own():
    assert METHODS["rho"].rule(SelectionSettings()).scope == "sample"
    assert METHODS["rho"].rule(SelectionSettings(scope="source")).scope == "source"


def test_a_misspelt_method_is_answered_with_the_nearest():
    with pytest.raises(
        SettingsError, match=r"no method 'fixed_model'\. Did you mean fixed-model\?"
    ):
        find_method("fixed_model")
    with pytest.raises(SettingsError, match=r"There are: fixed-model, rho, rho-1, reference-loss,"):
        find_method("xyz")
