"""What each method's number is, and that it depends on nothing else."""

import hashlib
import math

import numpy as np
import pytest

from tokensieve.corpus import Shard
from tokensieve.errors import SettingsError
from tokensieve.methods import METHODS, Evidence, find_method
from tokensieve.selection import select_shard
from tokensieve.settings import SelectionSettings
from tokensieve.thresholds import find_thresholds


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


def test_tokens_outside_the_answer_are_no_candidates_of_any_method():
    shard = make_shard(["x", "y"])
    shard.response_T[4] = False
    zeros_T = np.zeros(6, dtype=np.float32)
    scores = {"base": {"nll": zeros_T}, "reference": {"nll": zeros_T}}
    for method in METHODS.values():
        scored = method.scored(Evidence(shard, scores, seed=0))
        assert np.flatnonzero(scored.candidates()[0]).tolist() == [1, 2, 5]


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


def test_a_method_states_what_it_needs_and_how_it_chooses():
    stated = {m.name: (m.roles, m.direction, m.default_scope, m.rounding) for m in METHODS.values()}
    assert stated == {
        "fixed-model": (("base", "reference"), "high", "dataset", "floor"),
        "rho": (("base", "reference"), "high", "sample", "floor"),
        "random": ((), "high", "dataset", "floor"),
        "full": ((), "test", "dataset", "floor"),
    }


def test_the_scope_of_the_settings_goes_before_the_methods_own():
    assert METHODS["rho"].rule(SelectionSettings()).scope == "sample"
    assert METHODS["rho"].rule(SelectionSettings(scope="source")).scope == "source"


def test_a_misspelt_method_is_answered_with_the_nearest():
    with pytest.raises(
        SettingsError, match=r"no method 'fixed_model'\. Did you mean fixed-model\?"
    ):
        find_method("fixed_model")
    with pytest.raises(SettingsError, match=r"There are: fixed-model, rho, random, full\."):
        find_method("xyz")
