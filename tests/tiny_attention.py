"""Tiny random models of several architectures, and attention columns the slow way."""

import numpy as np
import torch
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel

from tokensieve.corpus import Shard
from tokensieve.scoring import ATTENTION_COLUMNS

VOCABULARY = 101
TINY = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 128,
    "initializer_range": 0.3,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
WINDOW = TINY | {
    "layer_types": ["sliding_attention", "full_attention"],
    "sliding_window": 6,
    "query_pre_attn_scalar": 8,
}
FAMILIES = {
    "llama": TINY,
    "qwen2": TINY,
    "qwen3": TINY,
    "gemma2": WINDOW | {"attn_logit_softcapping": 2.0},
    "gemma3_text": WINDOW,
    "gpt_oss": TINY | {"sliding_window": 6, "num_local_experts": 2, "num_experts_per_tok": 1},
    "gpt2": {
        "vocab_size": VOCABULARY,
        "n_embd": 32,
        "n_layer": 2,
        "n_head": 4,
        "n_positions": 128,
        "initializer_range": 0.3,
        "bos_token_id": 1,
        "eos_token_id": 2,
    },
}

HYBRID = {"lfm2": TINY | {"layer_types": ["conv", "full_attention"]}}


def build(
    family: str = "llama", dtype: torch.dtype = torch.float32, **more: object
) -> PreTrainedModel:
    torch.manual_seed(0)
    config = AutoConfig.for_model(family, **(FAMILIES | HYBRID)[family])
    model = AutoModelForCausalLM.from_config(config, **more)
    return model.eval().requires_grad_(False).to(dtype)


def shard_of(*samples: str) -> Shard:
    """Return samples of random ids, one for each letter: `p` of a prompt, `r` of a response."""
    offsets_N1 = np.cumsum([0, *map(len, samples)])
    generator = np.random.default_rng(5)
    return Shard(
        sample_ids=[f"s{n}" for n in range(len(samples))],
        sources=["test"] * len(samples),
        offsets_N1=offsets_N1,
        input_ids_T=generator.integers(3, VOCABULARY, offsets_N1[-1], dtype=np.int32),
        response_T=np.array([letter == "r" for letter in "".join(samples)], dtype=np.bool_),
        turn_T=np.zeros(offsets_N1[-1], dtype=np.int16),
    )


def eager_attention(model: PreTrainedModel, ids: np.ndarray, layer: int) -> np.ndarray:
    """Return A[query, key], the mean of the heads, of a sample that is read alone."""
    ids_1S = torch.tensor(ids).long()[None]
    attentions = model(input_ids=ids_1S, use_cache=False, output_attentions=True).attentions
    return attentions[layer][0].double().mean(dim=0).numpy()


def expected_columns(model: PreTrainedModel, shard: Shard, layer: int) -> dict[str, np.ndarray]:
    """Return the columns the slow way: each sample alone, every pair of its tokens."""
    columns = {name: np.full(len(shard.input_ids_T), np.nan) for name in ATTENTION_COLUMNS}
    for span in shard.slices():
        attention_SS = eager_attention(model, shard.input_ids_T[span], layer)
        num_tokens = span.stop - span.start
        prompt = [t for t in range(num_tokens) if not shard.response_T[span][t]]
        for t in np.flatnonzero(shard.scorable_T[span]):
            paid = {k: attention_SS[t, k] for k in prompt if k < t}
            values = (
                sum(paid.values()),
                sum(paid.values()) - paid.get(0, 0),
                attention_SS[t:, t].sum() / (num_tokens - t),
            )
            for name, value in zip(ATTENTION_COLUMNS, values, strict=True):
                columns[name][span.start + t] = value
    return columns
