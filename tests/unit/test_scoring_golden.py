"""Real models on real samples against what the Token Cleaning authors' own functions gave."""

import json
from pathlib import Path

import numpy as np
import pytest

from tests.tiny_attention import expected_columns
from tokensieve.corpus import Shard
from tokensieve.models import load_model
from tokensieve.scoring import COLUMNS, score_shard
from tokensieve.settings import ScoringSettings

SHARED = Path(__file__).resolve().parents[2] / "../shared"
GOLDEN = SHARED / "golden" / "token_cleaning_gsm8k.jsonl"

pytestmark = pytest.mark.skipif(not GOLDEN.exists(), reason="needs the shared golden files")


@pytest.fixture(scope="module")
def samples() -> list[dict]:
    return [json.loads(line) for line in GOLDEN.read_text(encoding="utf-8").splitlines()]


@pytest.fixture(scope="module")
def shard(samples) -> Shard:
    offsets = np.cumsum([0, *(len(sample["input_ids"]) for sample in samples)])
    return Shard(
        sample_ids=[sample["id"] for sample in samples],
        sources=["gsm8k"] * len(samples),
        offsets_N1=offsets,
        input_ids_T=joined(samples, "input_ids").astype(np.int32),
        response_T=joined(samples, "labels") != -100,
        turn_T=np.zeros(offsets[-1], dtype=np.int16),
    )


def joined(samples: list[dict], field: str) -> np.ndarray:
    return np.concatenate([sample[field] for sample in samples])


def differences(samples, shard: Shard, role: str, dtype: str) -> np.ndarray:
    """Return |our nll - theirs| in nats of every response token."""
    model = load_model(str(SHARED / "models" / f"{role}-6m"), dtype, num_gpus=0)
    columns, counts = score_shard(
        model, shard, ScoringSettings(), ("nll", "entropy"), lambda _: None
    )
    assert (counts["scored_tokens"], counts["unscorable_tokens"]) == (7739, 0)
    assert np.isnan(columns["nll"][~shard.response_T]).all()
    return np.abs(columns["nll"] - joined(samples, f"{role}_nll"))[shard.response_T]


@pytest.mark.parametrize("role", ["base", "reference"])
def test_float32_losses_are_the_authors_losses(samples, shard, role):
    assert differences(samples, shard, role, "float32").max() < 2e-4


@pytest.mark.parametrize("role", ["base", "reference"])
def test_bfloat16_losses_are_the_authors_losses_within_the_dtype(samples, shard, role):
    difference_S = differences(samples, shard, role, "bfloat16")
    assert difference_S.mean() < 0.02
    assert np.quantile(difference_S, 0.99) < 0.1
    assert difference_S.max() < 0.5


@pytest.mark.parametrize(
    ("dtype", "mean", "largest"), [("float32", 1e-6, 2e-5), ("bfloat16", 0.002, 0.05)]
)
def test_attention_of_a_trained_model_is_that_of_eager_attention(shard, dtype, mean, largest):
    few = Shard.from_table(shard.to_table().slice(0, 6))
    model = load_model(str(SHARED / "models" / "reference-6m"), dtype, num_gpus=0)
    found, _ = score_shard(model, few, ScoringSettings(), tuple(COLUMNS), lambda _: None)
    model.set_attn_implementation("eager")
    expected = expected_columns(model, few, layer=-1)
    for name, values_T in expected.items():
        difference_S = np.abs(found[name] - values_T)[few.scorable_T]
        assert difference_S.mean() < mean
        assert difference_S.max() < largest
