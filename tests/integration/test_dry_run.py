"""A dry run: what a run would cost, and nothing written."""

import re

import pytest

from tasks.dry_run import estimate_run
from tests.drops import write_drop
from tokensieve.errors import InputError, SettingsError
from tokensieve.planning import plan_clean
from tokensieve.settings import CleanSettings

pytestmark = pytest.mark.usefixtures("ray_cluster")


@pytest.fixture(scope="module")
def drop(tmp_path_factory):
    return write_drop(tmp_path_factory.mktemp("drop") / "drop.jsonl", num_rows=60, bad_rows=2)


def settings(models, drop, workspace, **selection):
    return CleanSettings(
        files=(str(drop),),
        base=models.base,
        reference=models.reference,
        workspace=str(workspace),
        corpus={"template": "tulu", "max_quarantine": 0.1},
        selection={"keep": 0.6, **selection},
    )


def facts(estimate: str) -> dict[str, str]:
    """Return the lines of the estimate by their first word."""
    pairs = re.findall(r"^  (\w+) +(.*)$", estimate, re.MULTILINE)
    return dict(pairs)


def test_the_estimate_names_every_cost_and_writes_nothing(models, drop, tmp_path):
    workspace = tmp_path / "not" / "there"
    asked = settings(models, drop, workspace)

    estimate = estimate_run(asked)

    said = facts(estimate)
    name = plan_clean(asked, on_gpu=False).run.name
    assert estimate.startswith(f"dry run of {name}: nothing was written\n")
    assert list(said) == ["input", "sample", "tokens", "speed", "time", "memory", "disk"]
    assert said["sample"] == "60 rows = 58 samples + 2 quarantined + 0 skipped"
    assert said["input"].startswith("1 files, ")
    assert said["input"].endswith(", 1 shards")
    assert list(tmp_path.iterdir()) == []


def test_the_bad_rows_of_the_sample_are_shown_with_their_lines(models, drop, tmp_path):
    estimate = estimate_run(settings(models, drop, tmp_path / "w"))

    assert "drop.jsonl:59: json_" in estimate
    assert "drop.jsonl:60: json_" in estimate
    assert "none in the sample" not in estimate


def test_the_figures_are_those_of_the_sample(models, tmp_path):
    drop = write_drop(tmp_path / "clean.jsonl", num_rows=60)
    before = set(tmp_path.rglob("*"))

    said = facts(estimate_run(settings(models, drop, tmp_path / "w")))

    assert said["problems"] == "none in the sample"
    tokens, share = re.match(r"about ([\d,]+); (\d+)% are of responses", said["tokens"]).groups()
    num_tokens = int(tokens.replace(",", ""))
    assert 60 * 20 < num_tokens < 60 * 200
    assert 10 < int(share) < 70
    speed = re.match(r"([\d,]+) tokens/s with the base model, one worker", said["speed"])
    assert int(speed[1].replace(",", "")) > 100
    assert f"to score {tokens} tokens with base and reference on " in said["time"]
    assert float(re.match(r"about ([\d.]+) GiB a worker", said["memory"])[1]) > 0.1
    assert re.match(r"about [\d.]+ kB; [\d.]+ (GB|TB|MB) are free", said["disk"])
    assert set(tmp_path.rglob("*")) == before


def test_a_method_without_a_model_costs_seconds(models, drop, tmp_path):
    said = facts(estimate_run(settings(models, drop, tmp_path / "w", method="random")))

    assert said["time"] == "seconds: the method needs no model"
    assert "speed" not in said


def test_what_the_run_would_refuse_is_refused(models, drop, tmp_path):
    asked = settings(models, drop, tmp_path / "w")

    with pytest.raises(InputError):
        estimate_run(asked.model_copy(update={"files": (str(tmp_path / "missing.jsonl"),)}))
    with pytest.raises(SettingsError, match="same model"):
        estimate_run(asked.model_copy(update={"reference": models.base}))
    assert list(tmp_path.iterdir()) == []
