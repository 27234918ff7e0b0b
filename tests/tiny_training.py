"""Samples with weights, a tied model, and the loss by its definition, for tests of training."""

from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file
from torch.nn.functional import cross_entropy
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedModel

from tests.tiny_models import build_tiny_model
from tests.tiny_workspace import Sample, make_corpus, make_scores, make_selection
from tokensieve.corpus import Float32s, Shard
from tokensieve.evidence import EvidenceReader
from tokensieve.methods import Evidence, Selector, Source, deferred, find_method
from tokensieve.models import ModelPlace
from tokensieve.planning import TrainingStep, model_spec
from tokensieve.planning.steps import selection_step, training_step
from tokensieve.selection import selection_tables
from tokensieve.settings import (
    ClusterSettings,
    S3Settings,
    SelectionSettings,
    TrainingSettings,
)
from tokensieve.storage import LocalStorage
from tokensieve.training import StepMethod, StoredEvidence, TrainingData

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


def chosen_data(
    settings: SelectionSettings, shard: Shard | None = None, keep_empty: bool = False
) -> TrainingData:
    """Return samples whose tokens the settings' method chooses in training, by what the model then
    says and by `stored_scores` of the other models; `tiny_shard` unless others are given.
    """
    shard = shard or tiny_shard()
    method = find_method(settings.method, settings.parameters)
    stored = {role: stored_scores(shard, role) for role in method.roles}
    evidence = Evidence(shard, stored, settings.seed)
    first = deferred(method) if method.each_step else method
    decision = Selector.of(first, settings, Source(lambda _: evidence, 1)).decide(evidence)
    kept = StoredEvidence.joined([evidence]) if method.each_step else None
    chosen = StepMethod(method, settings, kept)
    return TrainingData.joined([(shard, decision.weight_T)], keep_empty, chosen)


def stored_scores(shard: Shard, role: str) -> dict[str, Float32s]:
    """Return losses between 0 and 6 nats that a model might have; the fourth sample has none."""
    nll_T = np.random.default_rng(len(role)).uniform(0, 6, len(shard.input_ids_T))
    nll_T[~shard.scorable_T] = np.nan
    nll_T[shard.offsets_N1[3] : shard.offsets_N1[4]] = np.nan
    return {"nll": nll_T.astype(np.float32)}


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
    spec = model_spec(ModelPlace(init, S3Settings()), "float32", on_gpu=False)
    step = training_step(selection, corpus, spec, settings, ClusterSettings())
    step.artifact.declare()
    return step


def tiny_chosen_step(
    storage: LocalStorage,
    init: str,
    settings: TrainingSettings,
    selection: SelectionSettings,
    attention_layer: int = -1,
) -> TrainingStep:
    """Return the declared training of `init` on the corpus of `tiny_step`, on tokens that the
    selection's method chooses at each step. Of the fourth sample base and reference have no score.
    """
    samples = [Sample(f"s{n}", "one", (n, n + 1, n + 2, n + 3)) for n in range(6)]
    corpus = make_corpus(storage, [samples[:4], samples[4:]])
    nan = float("nan")
    nll = [[5, 6, 7, 1, 2, 3, 6, 6, 6, nan, nan, nan], [7, 1, 1, 2, 2, 9]]
    scores = {role: make_scores(corpus, role, nll) for role in ("base", "reference")}
    made = selection_step(corpus, scores, selection, attention_layer=attention_layer).artifact
    made.declare()
    method = deferred(find_method(selection.method, selection.parameters))
    source = Source(EvidenceReader(corpus, scores, method.columns, seed=0).read, 2)
    selector = Selector.of(method, selection, source)
    for number in range(2):
        evidence = source.read(number)
        decision = selector.decide(evidence)
        made.publish(number, *selection_tables(evidence.shard, decision, selection.keep_empty))
    made.commit()
    spec = model_spec(ModelPlace(init, S3Settings()), "float32", on_gpu=False)
    step = training_step(made, corpus, spec, settings, ClusterSettings())
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
