"""Noise is planted, every arm is trained on what it chose, and what each found is told."""

import json

import pyarrow.parquet as pq
import pytest

from flows.benchmark import benchmark
from tests.drops import write_drop
from tests.workspaces import ids
from tokensieve.noise.planting import KINDS
from tokensieve.settings import BenchmarkSettings

pytestmark = pytest.mark.usefixtures("prefect_server", "ray_cluster")

ARMS = ("full", "random", "oracle", "reference-loss", "profit", "sieve")


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    return tmp_path_factory.mktemp("workspace")


@pytest.fixture(scope="module")
def settings(models, workspace, tmp_path_factory):
    directory = tmp_path_factory.mktemp("drop")
    return BenchmarkSettings(
        files=(str(write_drop(directory / "drop.jsonl", num_rows=400)),),
        holdout=(str(write_drop(directory / "holdout.jsonl", num_rows=10, seed=1)),),
        base=models.base,
        reference=models.reference,
        workspace=str(workspace),
        arms=ARMS,
        seeds=(3,),
        parameters={"profit": {"tau": 0.005}},  # about what these models are sure of
        corpus={"template": "tulu"},
        training={"learning_rate": 0.01, "step_samples": 64, "lora": {"rank": 4}},
        cluster={"workers": 2},
    )


@pytest.fixture(scope="module")
def found(settings, prefect_server, ray_cluster):
    return benchmark(settings)


def row_of(found, arm):
    return next(row for row in found.rows if row.arm == arm)


def test_the_oracle_finds_all_noise_and_nothing_else(found):
    oracle = row_of(found, "oracle")

    assert oracle.auroc == dict.fromkeys(KINDS, 1.0)
    assert (oracle.precision, oracle.recall) == (1.0, 1.0)
    assert 0.5 < oracle.kept_share < 0.8  # a swapped answer is noise as a whole


def test_random_finds_noise_as_chance_does_and_full_drops_nothing(found):
    random, full = row_of(found, "random"), row_of(found, "full")

    assert random.mean_auroc == pytest.approx(0.5, abs=0.1)
    assert random.kept_share == pytest.approx(0.6, abs=0.01)
    assert (full.kept_share, full.recall, full.mean_auroc) == (1.0, 0.0, 0.5)


def test_methods_with_a_rate_of_their_own_have_a_control_at_that_rate(found):
    arms = [row.arm for row in found.rows]

    assert set(ARMS) < set(arms)
    for arm in ("oracle", "profit"):
        assert f"random@{row_of(found, arm).kept_share:.2f}" in arms
        assert row_of(found, arm).versus_random is not None
    assert row_of(found, "reference-loss").versus_random is not None  # beside the arm random
    assert row_of(found, "full").versus_random is None


def test_what_is_decided_in_training_is_found_where_it_was_recorded(found):
    profit = row_of(found, "profit")

    assert 0.05 < profit.kept_share < 0.95
    assert profit.mean_auroc is not None


def test_every_arm_is_told_of_for_people(found):
    text = str(found)

    assert "benchmark over 1 seeds of noise, selection and training" in text
    for arm in ARMS:
        assert f"\n{arm} " in text


def test_what_was_planted_stays_beside_the_artifacts(found, workspace):
    [place] = [path for path in (workspace / "noise").iterdir() if path.is_dir()]
    lines = (place / "drop.jsonl").read_text().splitlines()
    [marks] = place.glob("marks-*.parquet")
    table = pq.read_table(marks)

    assert len(lines) == 400
    assert set(json.loads(lines[0])) == {"id", "source", "messages"}
    assert table.column_names == ["sample_id", "clean"]
    assert table.num_rows == 400


def test_a_finished_benchmark_does_nothing_again(found, settings, workspace, monkeypatch):
    before = {kind: ids(workspace, kind) for kind in ("scores", "models", "selections")}
    for task in ("scoring", "training", "evaluation"):
        monkeypatch.setattr(f"tasks.{task}.connect", None)

    again = benchmark(settings)

    assert [row.arm for row in again.rows] == [row.arm for row in found.rows]
    assert {kind: ids(workspace, kind) for kind in before} == before
