"""What a benchmark says of methods: what they found, and what their choices are worth."""

import json
import math
import shutil

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.benchmark import Benchmark
from tasks.benchmark import _notes as notes_of
from tasks.comparison import WARMED_UP, Comparison
from tasks.comparison import _notes as notes_of_comparison
from tests.tiny_plans import make_inputs
from tokensieve.charts import MethodPoint, benchmark_chart
from tokensieve.comparison import ArmResult, missing_controls
from tokensieve.errors import InputError, SettingsError
from tokensieve.ingest import take_inventory
from tokensieve.noise.finding import Finding, auroc, find_noise
from tokensieve.noise.planting import KINDS
from tokensieve.noise.reading import plantable_records
from tokensieve.noise.worth import (
    benchmark_markdown,
    benchmark_table,
    method_rows,
)
from tokensieve.planning import (
    NoisyDrop,
    check_benchmark_given,
    compare_settings,
    noisy_corpus,
    plan_compare,
)
from tokensieve.settings import BenchmarkSettings, S3Settings


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
    rows = {row.arm: row for row in method_rows(RESULTS, {("rho", 0): found(0.7)})}

    assert rows["sieve"].versus_random.mean == pytest.approx((1.9 - 2.05 + 1.9 - 2.01) / 2)
    assert rows["rho"].versus_random.mean == pytest.approx((0.1 + 0.05) / 2)
    assert rows["random"].versus_random is None
    assert rows["random@0.90"].versus_random is None
    assert rows["full"].versus_random is None  # nothing is drawn at its rate
    assert rows["sieve"].versus_full.mean == pytest.approx(-0.1)


def test_the_rates_that_have_no_control_yet_are_named():
    results = [
        *RESULTS[:6],
        result("sieve", 0, 1.9, kept=0.9),
        result("rho@0.3", 0, 1.9, kept=0.299),
        result("near", 0, 1.9, kept=0.605),
        result("nothing", 0, 1.9, kept=0.001),
        result("all", 0, 1.9, kept=0.999),
    ]

    assert missing_controls(RESULTS) == {}
    assert missing_controls(results) == {"sieve": "random@0.90", "rho@0.3": "random@0.30"}


def test_only_what_was_looked_for_is_in_the_table_of_findings():
    rows = method_rows(RESULTS, {("rho", 0): found(0.7), ("rho", 1): found(0.8)})
    table = benchmark_table(rows)
    lines = table.splitlines()

    assert lines[1].split() == (
        ["rho", "60.0%", "0.750", "0.750", "0.750", "0.750", "0.750", "0.071", "0.250", "0.500"]
    )
    assert lines[2] == ""
    assert sum(line.startswith("random") for line in lines) == 3
    assert "| rho | 60.0% | 0.750 |" in benchmark_markdown(rows)
    assert "| random&#64;0.90 |" in benchmark_markdown(rows)  # no address of a letter


def finding(**changed):
    return Finding(found(0.7).auroc | changed, found(0.7).recall | changed, 0.25, 0.1)


def test_a_kind_that_could_not_be_planted_is_left_out_of_the_means():
    nothing = {"wrong_number": math.nan}
    both = {("rho", 0): finding(**nothing), ("rho", 1): finding(**nothing, swapped=0.4)}

    rows = method_rows(RESULTS, both)
    [row] = [row for row in rows if row.arm == "rho"]
    table = benchmark_table(rows)

    assert row.mean_auroc == pytest.approx((0.7 + (0.7 + 0.7 + 0.4) / 3) / 2)
    assert row.auroc_spread == pytest.approx(0.1 / math.sqrt(2))
    assert row.recall == pytest.approx((0.5 + (0.5 + 0.5 + 0.4) / 3) / 2)
    assert table.splitlines()[1].split()[:6] == ["rho", "60.0%", "0.700", "-", "0.700", "0.550"]
    assert "These data allowed no noise of the kind: wrong number." in " ".join(table.split())


def test_a_kind_that_some_seeds_allowed_is_a_mean_over_those():
    both = {("rho", 0): finding(swapped=math.nan), ("rho", 1): finding(swapped=0.4)}

    rows = method_rows(RESULTS, both)

    assert next(row for row in rows if row.arm == "rho").auroc["swapped"] == 0.4
    assert "allowed no noise" not in benchmark_table(rows)


def test_where_nothing_was_planted_nothing_is_found():
    rows = method_rows(RESULTS, {("rho", 0): found(math.nan)})

    assert next(row for row in rows if row.arm == "rho").mean_auroc is None
    assert "nan" not in benchmark_table(rows)


def test_the_chart_draws_methods_with_and_without_findings():
    points = [
        MethodPoint("rho", dict.fromkeys(KINDS, 0.7), 0.7, 0.1, (0.05, 0.15)),
        MethodPoint("toss", dict.fromkeys(KINDS, math.nan), None, None, None),
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

    records, num_others = plantable_records(take_inventory((str(path),), "train", S3Settings()))

    assert num_others == 2
    assert [record["id"] == "a" for record in records] == [True, False]
    assert records[0]["messages"][1] == {"role": "assistant", "content": "r"}
    assert "x" in records[1]["messages"][0]["content"]


def test_a_drop_without_a_conversation_is_refused(tmp_path):
    path = tmp_path / "drop.jsonl"
    path.write_text(json.dumps({"input_ids": [1, 2], "labels": [-100, 2]}) + "\n")

    with pytest.raises(InputError, match=r"drop\.jsonl: hold no conversation"):
        plantable_records(take_inventory((str(path),), "train", S3Settings()))


def benchmark_settings(inputs, **changes):
    values = {"files": (inputs.drop,), "holdout": (inputs.holdout,), "base": inputs.base}
    values |= {"workspace": str(inputs.directory / "workspace"), "corpus": {"template": "tulu"}}
    return BenchmarkSettings(**values | {"arms": ("full", "random", "oracle")} | changes)


def noisy_copy(inputs):
    """The drop, put where a noisy copy of it would be."""
    directory = inputs.directory / "workspace/noise/id"
    directory.mkdir(parents=True)
    shutil.copy(inputs.drop, directory / "drop.jsonl")
    return NoisyDrop("id")


def test_numbers_of_ones_own_are_refused_by_all_that_looks_at_the_settings(tmp_path):
    inputs = make_inputs(tmp_path)
    noisy = NoisyDrop("id")
    numbers = {"external": {"rule": "positive"}}

    for changes in ({"arms": ("full", "external@0.3")}, {"parameters": numbers}):
        settings = benchmark_settings(inputs, **changes)
        with pytest.raises(SettingsError, match=r"external has no numbers .* Name the arm oracle"):
            check_benchmark_given(settings)
        with pytest.raises(SettingsError, match=r"external has no numbers .* Name the arm oracle"):
            compare_settings(settings, noisy, noisy.where, 0)


def test_a_second_of_looking_lets_a_good_benchmark_through(tmp_path):
    inputs = make_inputs(tmp_path)

    check_benchmark_given(benchmark_settings(inputs))
    check_benchmark_given(benchmark_settings(inputs, arms=("oracle",), files=("hf://name",)))
    with pytest.raises(SettingsError, match=r"arms: there is no arm 'oracle@0\.3'"):
        check_benchmark_given(benchmark_settings(inputs, arms=("oracle@0.3",)))


def test_it_is_told_which_random_is_missing_and_that_the_reference_has_seen_what_it_scores(
    tmp_path,
):
    inputs = make_inputs(tmp_path)
    noisy = noisy_copy(inputs)
    results = [*RESULTS[:6], result("sieve", 0, 1.9, kept=0.9)]

    for changes, is_warmed_up in (
        ({}, True),
        ({"arms": ("full", "random")}, False),
        ({"reference": inputs.reference}, False),
        ({"warmup": (inputs.warmup,)}, False),
    ):
        settings = benchmark_settings(inputs, **{"arms": ("random", "sieve"), **changes})
        plan = plan_compare(compare_settings(settings, noisy, noisy.where, 0), on_gpu=False)
        notes = notes_of_comparison(plan, results)
        told = "sieve keeps another share than random: add the arm random@0.90 to compare it with."
        assert told in notes
        assert (WARMED_UP in notes) == is_warmed_up
        comparison = Comparison("compare-0", 2.0, results, frozenset(), notes, "picture.png")
        benchmark = Benchmark(1, method_rows(results, {}), notes_of([comparison]), "picture.png")
        assert (WARMED_UP in str(benchmark)) == is_warmed_up
        assert (WARMED_UP in benchmark.markdown()) == is_warmed_up


def test_the_noisy_corpus_is_that_of_the_comparison(tmp_path):
    inputs = make_inputs(tmp_path)
    settings = benchmark_settings(inputs, bottleneck="/no/model")
    noisy = noisy_copy(inputs)

    compared = compare_settings(settings, noisy, noisy.drop, 0)

    corpus = noisy_corpus(settings, noisy).artifact
    assert plan_compare(compared, on_gpu=False).drop.id == corpus.id


def test_the_oracle_is_an_arm_of_numbers_made_elsewhere(tmp_path):
    inputs = make_inputs(tmp_path)
    settings = BenchmarkSettings(
        files=(inputs.drop,),
        holdout=(inputs.holdout,),
        base=inputs.base,
        workspace=str(tmp_path / "workspace"),
        arms=("full", "random", "oracle"),
        seeds=(3, 4),
        noise_rate=0.2,
    )
    noisy = NoisyDrop("id")

    arms = compare_settings(settings, noisy, noisy.marks("corpus"), 4, ("random@0.95",))

    assert arms.arms == ("full", "random", "external", "random@0.95")
    assert arms.seeds == (4,)
    planted = tmp_path / "workspace/noise/id"
    assert arms.files == (str(planted / "drop.jsonl"),)
    marks = str(planted / "marks-corpus.parquet")
    assert (arms.external, arms.holdout) == (marks, settings.holdout)
    assert arms.parameters == {"external": {"rule": "positive"}}
