"""Tiny random models and tokenizers, built offline in a fraction of a second, for every test."""

from functools import cache
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

SPECIAL_TOKENS = ["<s>", "</s>", "<pad>"]


def build_tiny_model(
    directory: Path,
    *,
    seed: int = 0,
    vocab_size: int = 512,
    layers: int = 2,
    hidden: int = 64,
) -> Path:
    """Write a random Llama and its tokenizer to `directory`; return it. The seed decides the bytes.

    The weights are large enough that the model has opinions: losses spread over several nats.
    """
    config = LlamaConfig(
        vocab_size=vocab_size,
        hidden_size=hidden,
        intermediate_size=2 * hidden,
        num_hidden_layers=layers,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=2048,
        initializer_range=0.2,
        bos_token_id=0,
        eos_token_id=1,
        pad_token_id=2,
        dtype="float32",
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = LlamaForCausalLM(config)
    model.save_pretrained(directory)
    tiny_tokenizer(vocab_size).save_pretrained(directory)
    return Path(directory)


def tiny_tokenizer(vocab_size: int = 512) -> PreTrainedTokenizerFast:
    """Return a byte-level BPE tokenizer that can write any text; no chat template, no BOS added."""
    return PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(_trained_bpe(vocab_size)),
        bos_token="<s>",
        eos_token="</s>",
        pad_token="<pad>",
    )


@cache
def _trained_bpe(vocab_size: int) -> str:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=SPECIAL_TOKENS,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    sums = [
        f"If Anna has {a} apples and buys {b}, she has {a + b}." for a in range(40) for b in (3, 7)
    ]
    tokenizer.train_from_iterator(sums, trainer)
    assert tokenizer.get_vocab_size() <= vocab_size
    return tokenizer.to_str()
