"""Everything a demonstration needs, made on the spot: a noisy corpus and two tiny trained models.

The base has read general text and little of the tasks; the reference is the base after training on
clean examples of the tasks, none of which is in the corpus. No network is needed.
"""

import json
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedModel, PreTrainedTokenizerFast
from transformers.utils import logging as transformers_logging

from tokensieve.chat import Encoder
from tokensieve.noise.corpus import GENERAL, TASKS, Record, make_records
from tokensieve.noise.encoding import encode_records
from tokensieve.noise.planting import BOILERPLATE, plant_noise, write_planted
from tokensieve.settings import TrainingSettings
from tokensieve.templates import load_template
from tokensieve.training import Trainee, TrainingData, train

NOISE_RATE = 0.4
"""Share of the corpus's answers that hold noise."""

_NUM_SAMPLES = {"corpus": 1200, "holdout": 120, "general": 1800, "base": 240, "reference": 5400}
_VOCABULARY = 1024
_MAX_LENGTH = 256
_TRAINING = TrainingSettings(
    tuning="full", learning_rate=3e-3, warmup=0.1, step_samples=24, precision="float32"
)
_SPECIAL_TOKENS = ["<s>", "</s>", "<pad>", "<|system|>", "<|user|>", "<|assistant|>"]
_CHAT_TEMPLATE = (
    "{% for message in messages %}<|{{ message.role }}|>\n{{ message.content }}"
    "{% if message.role == 'assistant' %}{{ eos_token }}{% endif %}\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
)


@dataclass(frozen=True)
class Demo:
    """Where the parts of the demonstration lie."""

    directory: Path

    @property
    def corpus(self) -> Path:
        """Return the SFT file with noise in it."""
        return self.directory / "sft.jsonl"

    @property
    def holdout(self) -> Path:
        """Return a file of clean samples that nothing is trained on."""
        return self.directory / "holdout.jsonl"

    @property
    def planted(self) -> Path:
        """Return the file that says where the noise is."""
        return self.directory / "planted.jsonl"

    @property
    def base(self) -> Path:
        """Return the directory of the base model."""
        return self.directory / "base"

    @property
    def reference(self) -> Path:
        """Return the directory of the reference model."""
        return self.directory / "reference"


def make_demo(directory: Path, seed: int = 0) -> Demo:
    """Return the demonstration in `directory`; make it, in about a minute, unless it is there.

    The directory appears when everything in it is complete.
    """
    if not directory.is_dir():
        partial = directory.with_name(f".{directory.name}-{secrets.token_hex(4)}")
        partial.mkdir(parents=True)
        _write_corpus(Demo(partial), seed)
        transformers_logging.disable_progress_bar()
        with _one_thread():
            _write_models(Demo(partial), seed)
        partial.rename(directory)
    return Demo(directory)


def _write_corpus(demo: Demo, seed: int) -> None:
    clean = make_records(_NUM_SAMPLES["corpus"], seed)
    noisy, planted = plant_noise(clean, NOISE_RATE, seed)
    _write_records(demo.corpus, noisy)
    _write_records(demo.holdout, _unseen(clean, seed + 4))
    write_planted(demo.planted, planted)


def _unseen(corpus: Sequence[Record], seed: int) -> list[Record]:
    """Return clean examples of the tasks that the corpus has not, as far as tasks have so many."""
    seen = {str(record["messages"]) for record in corpus}
    drawn = make_records(5 * _NUM_SAMPLES["holdout"], seed, TASKS)
    unseen = {str(r["messages"]): r for r in drawn if str(r["messages"]) not in seen}
    return list(unseen.values())[: _NUM_SAMPLES["holdout"]]


def _write_records(path: Path, records: Sequence[Record]) -> None:
    lines = [json.dumps(record, ensure_ascii=False) + "\n" for record in records]
    path.write_text("".join(lines), encoding="utf-8")


def _write_models(demo: Demo, seed: int) -> None:
    """Train the base from random weights, then the reference from the base."""
    general = make_records(_NUM_SAMPLES["general"], seed + 1, GENERAL)
    few = make_records(_NUM_SAMPLES["base"], seed + 2, TASKS)
    many = make_records(_NUM_SAMPLES["reference"], seed + 3, TASKS)
    tokenizer = build_tokenizer([*general, *many])
    encoder = Encoder(tokenizer, load_template("model", tokenizer), _MAX_LENGTH)
    model = _random_model(tokenizer, seed)
    for records, path in (([*general, *few], demo.base), (many, demo.reference)):
        shard = encode_records(records, encoder)
        data = TrainingData.joined([(shard, shard.scorable_T.astype(np.float32))])
        train(Trainee(model), data, _TRAINING)
        model.save_pretrained(path)
        tokenizer.save_pretrained(path)


@contextmanager
def _one_thread() -> Iterator[None]:
    """Compute on one core: small models gain little from more, and lose much on a busy machine.

    The weights are then also the same whatever the number of cores.
    """
    num_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(num_threads)


def build_tokenizer(records: Sequence[Record]) -> PreTrainedTokenizerFast:
    """Return a byte-level BPE tokenizer of the records' words, with a chat template.

    Digits stand alone, as in most current models, or sums could hardly be learned.
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=_VOCABULARY,
        special_tokens=_SPECIAL_TOKENS,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    texts = [message["content"] for record in records for message in record["messages"]]
    tokenizer.train_from_iterator([*texts, *BOILERPLATE], trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<s>",
        eos_token="</s>",
        pad_token="<pad>",
        chat_template=_CHAT_TEMPLATE,
    )


def _random_model(tokenizer: PreTrainedTokenizerFast, seed: int) -> PreTrainedModel:
    """Return a Llama of about a million parameters with random weights."""
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=128,
        intermediate_size=384,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=_MAX_LENGTH,
        tie_word_embeddings=True,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        dtype="float32",
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return LlamaForCausalLM(config)
