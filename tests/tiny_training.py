"""Samples with weights, a tied model, and the loss by its definition, for tests of training."""

from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file
from torch.nn.functional import cross_entropy
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedModel

from tests.tiny_models import build_tiny_model
from tests.tiny_workspace import Sample, make_corpus, make_selection
from tokensieve.corpus import Shard
from tokensieve.planning import TrainingStep, model_spec
from tokensieve.planning.steps import training_step
from tokensieve.settings import ClusterSettings, TrainingSettings
from tokensieve.storage import LocalStorage
from tokensieve.training import TrainingData

LENGTHS = [9, 4, 6, 12, 5]
STEP_KEPT = [3, 0, 2, 1, 3, 2]
"""Kept tokens of the six samples of `tiny_step`, of 3 response tokens each."""


def tiny_shard(lengths: list[int] = LENGTHS, vocab_size: int = 512) -> Shard:
    """Return samples of random tokens; the first two of each are its prompt."""
    offsets_N1 = np.cumsum([0, *lengths])
    position_T = np.arange(offsets_N1[-1]) - np.repeat(offsets_N1[:-1], lengths)
    return Shard(
        sample_ids=[f"s{n}" for n in range(len(lengths))],
        offsets_N1=offsets_N1,
        input_ids_T=np.random.default_rng(0).integers(3, vocab_size, offsets_N1[-1], np.int32),
        sources=["a"] * len(lengths),
        response_T=position_T >= 2,
        turn_T=np.zeros(len(position_T), dtype=np.int16),
    )


def tiny_data(
    weight_T: np.ndarray | None = None, lengths: list[int] = LENGTHS, keep_empty: bool = False
) -> TrainingData:
    """Return `tiny_shard` with weights. Unless they are given, 0.6 of the responses have 1."""
    shard = tiny_shard(lengths)
    if weight_T is None:
        kept_T = np.random.default_rng(1).random(len(shard.response_T)) < 0.6
        weight_T = kept_T & shard.response_T
    return TrainingData.joined([(shard, weight_T.astype(np.float32))], keep_empty)


def build_tied_model(directory: Path) -> Path:
    """Write a random model whose head is its embedding to `directory`; return it."""
    build_tiny_model(directory, hidden=32)
    config = LlamaConfig.from_pretrained(directory)
    config.tie_word_embeddings = True
    torch.manual_seed(0)
    LlamaForCausalLM(config).save_pretrained(directory)
    assert len(load_file(directory / "model.safetensors")) == 20  # no head of its own
    return directory


def tiny_step(
    storage: LocalStorage, init: str, settings: TrainingSettings, keep_empty: bool = False
) -> TrainingStep:
    """Return the declared training of `init` on a corpus of two shards, with STEP_KEPT."""
    samples = [Sample(f"s{n}", "one", (n, n + 1, n + 2, n + 3)) for n in range(6)]
    weights = [int(token < kept) for kept in STEP_KEPT for token in range(3)]
    corpus = make_corpus(storage, [samples[:4], samples[4:]])
    selection = make_selection(corpus, [weights[:12], weights[12:]], keep_empty=keep_empty)
    spec = model_spec(init, "float32", on_gpu=False)
    step = training_step(selection, corpus, spec, settings, ClusterSettings())
    step.artifact.declare()
    return step


def signed_weights() -> np.ndarray:
    """Return weights of 1, 0 and -0.5 for `tiny_data`."""
    weight_T = tiny_data().weight_T.copy()
    weight_T[::3] *= -0.5
    return weight_T


def nll_by_full_logits(model: PreTrainedModel, data: TrainingData, sample: int) -> torch.Tensor:
    """Return the nll of each token of a sample but the first, in nats, with a gradient."""
    start, end = data.offsets_N1[sample : sample + 2]
    ids = torch.from_numpy(data.input_ids_T[start:end]).long()
    return cross_entropy(model(ids[None]).logits[0, :-1].float(), ids[1:], reduction="none")


def loss_by_full_logits(model: PreTrainedModel, data: TrainingData) -> torch.Tensor:
    """Return the loss by its definition: one sample at a time, every logit, one division."""
    total = torch.zeros(())
    for sample, span in enumerate(data.slices()):
        weights = torch.from_numpy(data.weight_T[span])[1:]
        total = total + (nll_by_full_logits(model, data, sample) * weights).sum()
    return total / np.count_nonzero(data.weight_T > 0)
