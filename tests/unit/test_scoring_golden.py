"""Real models on real samples against what the Token Cleaning authors' own functions gave."""

import json
from pathlib import Path

import numpy as np
import pytest

from tokensieve.corpus import Shard
from tokensieve.models import load_model
from tokensieve.scoring import score_shard
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
