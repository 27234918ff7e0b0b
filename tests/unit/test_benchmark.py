"""What a benchmark says of methods: what they found, and what their choices are worth."""

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.tiny_plans import make_inputs
from tokensieve.charts import MethodPoint, benchmark_chart
from tokensieve.comparison import ArmResult
from tokensieve.errors import InputError
from tokensieve.ingest import take_inventory
from tokensieve.noise.finding import Finding, auroc, find_noise
from tokensieve.noise.planting import KINDS
from tokensieve.noise.reading import plantable_records
from tokensieve.noise.worth import (
    benchmark_markdown,
    benchmark_table,
    method_rows,
    own_rates,
    random_arm,
)
from tokensieve.planning import NoisyDrop, compare_settings
from tokensieve.settings import BenchmarkSettings


def test_auroc_counts_pairs_and_half_of_the_ties():
    assert auroc(np.array([3.0, 2.0]), np.array([1.0, 2.0])) == (2 + 1 + 0.5) / 4
    assert auroc(np.array([1.0]), np.array([1.0])) == 0.5
    assert auroc(np.array([0.0]), np.array([1.0])) == 0.0
    assert math.isnan(auroc(np.zeros(0), np.array([1.0])))


values = st.lists(st.integers(-3, 3).map(float), min_size=1, max_size=20)


@given(values, values)
def test_auroc_is_the_share_of_pairs_in_order(higher, lower):
    pairs = [(a > b) + (a == b) / 2 for a in higher for b in lower]
    assert auroc(np.array(higher), np.array(lower)) == pytest.approx(sum(pairs) / len(pairs))


def test_noise_that_was_found_is_counted_by_kind():
    label_T = np.array([0, 0, 0, 0, 1, 1, 2, 4, 1], dtype=np.int8)
    preference_T = np.array([5.0, 4, 3, 0, 1, 3.5, -1, 9, 0])
    weight_T = np.array([1, 1, 1, 0, 0, 1, 0, 1, 0], dtype=np.float32)
    candidate_T = np.array([True] * 8 + [False])

    found = find_noise(label_T, candidate_T, preference_T, weight_T)

    assert found.auroc["corrupted"] == (3 + 2) / 8  # 1 is below 5, 4 and 3; 3.5 below 5 and 4
    assert found.auroc["wrong_number"] == 1.0
    assert math.isnan(found.auroc["boilerplate"])
    assert found.auroc["swapped"] == 0.0
    assert found.recall["corrupted"] == 0.5
    assert found.recall["swapped"] == 0.0
    assert found.precision == 2 / 3
    assert found.dropped_clean == 0.25


def result(arm, seed, loss, kept=0.6):
    return ArmResult(arm, seed, loss, 0.1, {}, kept, 3.0, 1.0)


def found(mean):
    return Finding(dict.fromkeys(KINDS, mean), dict.fromkeys(KINDS, 0.5), 0.25, 0.1)


RESULTS = [
    *(result("full", seed, 2.0, kept=1.0) for seed in (0, 1)),
    *(result("random", seed, 2.1 + seed / 10) for seed in (0, 1)),
    *(result("rho", seed, 2.2 + seed / 20) for seed in (0, 1)),
    *(result("sieve", seed, 1.9, kept=0.9 + seed / 100) for seed in (0, 1)),
    result("random@0.90", 0, 2.05, kept=0.9),
    result("random@0.91", 1, 2.01, kept=0.91),
]


def test_a_method_with_a_rate_of_its_own_is_compared_with_random_at_that_rate():
    rows = {row.arm: row for row in method_rows(0.6, RESULTS, {("rho", 0): found(0.7)})}

    assert rows["sieve"].versus_random.mean == pytest.approx((1.9 - 2.05 + 1.9 - 2.01) / 2)
    assert rows["rho"].versus_random.mean == pytest.approx((0.1 + 0.05) / 2)
    assert rows["random"].versus_random is None
    assert rows["random@0.90"].versus_random is None
    assert rows["full"].versus_random is None  # nothing is drawn at its rate
    assert rows["sieve"].versus_full.mean == pytest.approx(-0.1)


def test_the_rates_that_have_no_control_yet_are_named():
    assert own_rates(0.6, RESULTS) == ["random@0.90", "random@0.91"]
    assert random_arm(0.6, 0.6049) == "random"
    assert random_arm(0.6, 0.62) == "random@0.62"


def test_only_what_was_looked_for_is_in_the_table_of_findings():
    rows = method_rows(0.6, RESULTS, {("rho", 0): found(0.7), ("rho", 1): found(0.8)})
    table = benchmark_table(rows)
    lines = table.splitlines()

    assert lines[1].split() == (
        ["rho", "60.0%", "0.750", "0.750", "0.750", "0.750", "0.750", "0.071", "0.250", "0.500"]
    )
    assert lines[2] == ""
    assert sum(line.startswith("random") for line in lines) == 3
    assert "| rho | 60.0% | 0.750 |" in benchmark_markdown(rows)


def test_the_chart_draws_methods_with_and_without_findings():
    points = [
        MethodPoint("rho", dict.fromkeys(KINDS, 0.7), 0.7, 0.1, (0.05, 0.15)),
        MethodPoint("full", {}, None, None, None),
    ]
    assert benchmark_chart(points).startswith(b"\x89PNG")
    assert benchmark_chart(points) == benchmark_chart(points)


def test_every_format_of_a_conversation_can_be_planted_into(tmp_path):
    messages = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "r"}]
    rows = [
        {"id": "a", "messages": messages},
        {"instruction": "q", "input": "x", "output": "r"},
        {"input_ids": [1, 2], "labels": [-100, 2]},
        {"nothing": 1},
    ]
    path = tmp_path / "drop.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))

    records, num_others = plantable_records(take_inventory((str(path),), "train"))

    assert num_others == 2
    assert [record["id"] == "a" for record in records] == [True, False]
    assert records[0]["messages"][1] == {"role": "assistant", "content": "r"}
    assert "x" in records[1]["messages"][0]["content"]


def test_a_drop_without_a_conversation_is_refused(tmp_path):
    path = tmp_path / "drop.jsonl"
    path.write_text(json.dumps({"input_ids": [1, 2], "labels": [-100, 2]}) + "\n")

    with pytest.raises(InputError, match=r"drop\.jsonl: hold no conversation"):
        plantable_records(take_inventory((str(path),), "train"))


def test_the_oracle_is_an_arm_of_numbers_made_elsewhere(tmp_path):
    inputs = make_inputs(tmp_path)
    settings = BenchmarkSettings(
        files=(inputs.drop,),
        holdout=(inputs.holdout,),
        base=inputs.base,
        arms=("full", "random", "oracle"),
        seeds=(3, 4),
        noise_rate=0.2,
    )
    noisy = NoisyDrop(tmp_path / "noisy.jsonl", tmp_path / "where.jsonl")

    arms = compare_settings(settings, noisy, tmp_path / "marks", 4, ("random@0.95",))

    assert arms.arms == ("full", "random", "external", "random@0.95")
    assert arms.seeds == (4,)
    assert arms.files == (str(tmp_path / "noisy.jsonl"),)
    assert (arms.external, arms.holdout) == (str(tmp_path / "marks"), settings.holdout)
    assert arms.parameters == {"external": {"rule": "positive"}}
