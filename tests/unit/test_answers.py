"""Exact match by generation: who is asked, what is generated, what counts as the same answer."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM, GenerationConfig, PreTrainedModel

from tests.tiny_models import tiny_tokenizer
from tokensieve.chat import load_encoder
from tokensieve.corpus import Shard
from tokensieve.errors import ResourceError, SettingsError
from tokensieve.evaluation import (
    ANSWER_SCHEMA,
    answer_samples,
    check_pattern,
    exact_match,
    generation,
)
from tokensieve.evaluation.patterns import compiled_pattern, found_answer
from tokensieve.ingest.records import Message, Record
from tokensieve.models import load_model, load_tokenizer
from tokensieve.settings import EvaluationSettings

torch.set_num_threads(1)  # on tiny matrices threads only wait for each other
SHARED = Path(__file__).resolve().parents[2] / "../shared"
TOKENIZER = tiny_tokenizer()
END = 1
TINY = {
    "llama": {
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "max_position_embeddings": 64,
        "initializer_range": 0.3,
    },
    "gpt2": {
        "n_embd": 32,
        "n_layer": 2,
        "n_head": 4,
        "n_positions": 64,
        "initializer_range": 0.3,
    },
}


def build(family: str = "llama") -> PreTrainedModel:
    torch.manual_seed(0)
    config = AutoConfig.for_model(
        family, vocab_size=len(TOKENIZER), bos_token_id=0, eos_token_id=END, **TINY[family]
    )
    return AutoModelForCausalLM.from_config(config).eval().requires_grad_(False)


@pytest.fixture
def model() -> PreTrainedModel:
    return build()


def encoded(path: str, rows: list[dict[str, str]]) -> Shard:
    """Return the rows as samples in the template that the model was trained in."""
    records = [
        Record(
            None, None, (Message("user", row["prompt"]), Message("assistant", row["completion"]))
        )
        for row in rows
    ]
    samples = load_encoder(path, "tulu", 1024).encode(records)
    lengths = [len(sample.input_ids_T) for sample in samples]
    return Shard(
        sample_ids=[row["id"] for row in rows],
        sources=["gsm8k"] * len(rows),
        offsets_N1=np.cumsum([0, *lengths]),
        input_ids_T=np.concatenate([sample.input_ids_T for sample in samples]),
        response_T=np.concatenate([sample.response_T for sample in samples]),
        turn_T=np.concatenate([sample.turn_T for sample in samples]),
    )


Parts = Sequence[tuple[str, bool]]


def shard_of(*samples: Parts) -> Shard:
    """Return samples made of texts, each a response or not; a response ends with `</s>`."""
    ids, response, turn, offsets = [], [], [], [0]
    for parts in samples:
        exchange = 0
        for text, is_response in parts:
            tokens = TOKENIZER.encode(text) + [END] * is_response
            ids += tokens
            response += [is_response] * len(tokens)
            turn += [exchange] * len(tokens)
            exchange += is_response
        offsets.append(len(ids))
    return Shard(
        sample_ids=[f"sample-{n}" for n in range(len(samples))],
        sources=["test"] * len(samples),
        offsets_N1=np.array(offsets, dtype=np.int64),
        input_ids_T=np.array(ids, dtype=np.int32),
        response_T=np.array(response, dtype=bool),
        turn_T=np.array(turn, dtype=np.int16),
    )


def ask(model, shard, pattern=r"(?s).+", max_new_tokens=8):
    settings = EvaluationSettings(answer_pattern=pattern, max_new_tokens=max_new_tokens)
    done = []
    table, counts = answer_samples(model, TOKENIZER, shard, settings, done.append)
    assert sum(done) == shard.num_samples
    assert table.schema == ANSWER_SCHEMA
    return table.to_pylist(), counts


def one_by_one(model, prompt_ids: list[int], max_new_tokens: int) -> list[int]:
    """Return the most likely continuation, computed without padding, batches or a cache."""
    ids = list(prompt_ids)
    while len(ids) < len(prompt_ids) + max_new_tokens:
        token = int(model(input_ids=torch.tensor([ids]), use_cache=False).logits[0, -1].argmax())
        if token == END:
            break
        ids.append(token)
    return ids[len(prompt_ids) :]


QUESTIONS = [
    "Two?",
    "If Anna has 3 apples",
    "How many apples does she have after she buys 7?",
    "A",
    "she",
]


@pytest.mark.parametrize("family", TINY)
def test_a_batch_is_answered_as_each_prompt_alone_without_cache_or_padding(family):
    model = build(family)

    rows, _ = ask(model, shard_of(*[[(text, False), ("4", True)] for text in QUESTIONS]))

    for text, row in zip(QUESTIONS, rows, strict=True):
        alone = one_by_one(model, TOKENIZER.encode(text), max_new_tokens=8)
        assert row["generated"] == TOKENIZER.decode(alone, skip_special_tokens=True)


def test_the_size_of_a_batch_changes_no_answer(model, monkeypatch):
    shard = shard_of(*[[(text, False), ("4", True)] for text in QUESTIONS])
    together = ask(model, shard)

    monkeypatch.setitem(generation._BATCH_TOKENS, "cpu", 1)

    assert ask(model, shard) == together


def test_what_the_model_says_is_correct_and_anything_else_is_not(model):
    said = TOKENIZER.decode(one_by_one(model, TOKENIZER.encode("Two?"), 8)).strip()
    shard = shard_of([("Two?", False), (said, True)], [("Two?", False), (said + "!", True)])

    rows, counts = ask(model, shard)

    assert [row["correct"] for row in rows] == [True, False]
    assert counts == {"samples": 2, "unanswerable": 0, "correct": 1, "unfinished": 2}
    assert exact_match(counts) == 0.5


def test_sampling_and_penalties_of_the_model_directory_are_not_used_and_are_put_back(model):
    shard = shard_of([("Two?", False), ("4", True)])
    plain = ask(model, shard)

    theirs = GenerationConfig(
        do_sample=True, temperature=9.0, repetition_penalty=9.0, max_length=1, eos_token_id=END
    )
    model.generation_config = theirs

    assert ask(model, shard) == plain
    assert model.generation_config is theirs


def test_only_the_last_response_is_asked_for_and_earlier_ones_are_given(model):
    first, second = "If Anna has 3 apples", "she buys 7"
    shard = shard_of(
        [(first, False), ("ok", True), (second, False), ("so 10", True), ("\n", False)]
    )

    [row], _ = ask(model, shard, pattern=r"\d+")

    prompt = [*TOKENIZER.encode(first), *TOKENIZER.encode("ok"), END, *TOKENIZER.encode(second)]
    assert row["expected"] == "10"
    assert row["generated"] == TOKENIZER.decode(one_by_one(model, prompt, 8))


def test_a_sample_without_an_answer_or_without_a_prompt_is_counted_and_not_asked(model):
    no_answer = [("Two?", False), ("no number", True)]
    no_prompt = [("4", True)]
    no_response = [("Two?", False)]

    rows, counts = ask(model, shard_of(no_answer, no_prompt, no_response), pattern=r"\d+")

    assert rows == []
    assert counts == {"samples": 3, "unanswerable": 3, "correct": 0, "unfinished": 0}
    assert exact_match(counts) is None


def test_a_response_ends_at_the_first_end_token(model):
    token = one_by_one(model, TOKENIZER.encode("Two?"), 3)[2]
    model.generation_config.eos_token_id = [END, token]

    [row], counts = ask(model, shard_of([("Two?", False), ("4", True)]))

    first_two = one_by_one(model, TOKENIZER.encode("Two?"), 2)
    assert row["generated"] == TOKENIZER.decode(first_two)
    assert counts["unfinished"] == 0


def test_the_special_token_that_ends_the_samples_ends_a_response(model):
    tokenizer = tiny_tokenizer()
    token = one_by_one(model, tokenizer.encode("Two?"), 3)[2]
    shard = shard_of([("Two?", False), ("4", True)])
    shard.input_ids_T[-1] = token
    tokenizer.add_special_tokens({"extra_special_tokens": [tokenizer.convert_ids_to_tokens(token)]})
    settings = EvaluationSettings(answer_pattern="4", max_new_tokens=8)

    _, counts = answer_samples(model, tokenizer, shard, settings, lambda num: None)

    assert counts["unfinished"] == 0


@pytest.mark.parametrize("family", TINY)
def test_a_prompt_and_its_response_stay_within_the_context(family):
    model = build(family)
    lengths = [60, 64, 65, 63, 5]  # of 64
    shard = shard_of(*[[("a" * length, False), ("4", True)] for length in lengths])
    assert [len(TOKENIZER.encode("a" * length)) for length in lengths] == lengths

    rows, counts = ask(model, shard, max_new_tokens=6)

    written = [len(TOKENIZER.encode(row["generated"])) for row in rows]
    assert written[1:3] == [0, 0]
    for length, row in zip(lengths, rows, strict=True):
        room = min(6, max(0, 64 - length))
        alone = one_by_one(model, TOKENIZER.encode("a" * length), room) if room else []
        assert row["generated"] == TOKENIZER.decode(alone)
    assert counts["unfinished"] == 5


def test_a_batch_that_does_not_fit_the_memory_is_halved(model, monkeypatch):
    shard = shard_of(*[[(text, False), ("4", True)] for text in QUESTIONS])
    whole = ask(model, shard)
    generate, sizes = model.generate, []

    def generate_two(ids, **arguments):
        sizes.append(len(ids))
        if len(ids) > 2:
            raise torch.OutOfMemoryError
        return generate(ids, **arguments)

    monkeypatch.setattr(model, "generate", generate_two)

    assert ask(model, shard) == whole
    assert sizes == [5, 2, 3, 1, 2]


def test_a_prompt_that_does_not_fit_the_memory_alone_is_named(model, monkeypatch):
    def no_memory(ids, **arguments):
        raise torch.OutOfMemoryError

    monkeypatch.setattr(model, "generate", no_memory)

    with pytest.raises(ResourceError, match="4 tokens and 8 new ones do not fit"):
        ask(model, shard_of([("Two?", False), ("4", True)]))


def test_bytes_that_are_no_text_are_compared_like_any_other(model):
    broken = [token for token in range(len(TOKENIZER)) if "\ufffd" in TOKENIZER.decode([token])][:3]
    shard = shard_of([("Two?", False), ("444", True)])
    shard.input_ids_T[-4:-1] = broken

    [row], _ = ask(model, shard)

    assert row["expected"] == "\ufffd" * 3


def test_only_the_end_of_a_very_long_text_is_kept(model):
    shard = shard_of([("Two?", False), ("4" * 10_000, True)])

    [row], _ = ask(model, shard)

    assert row["expected"] == "4" * 8192


@pytest.mark.parametrize(
    ("pattern", "text", "answer"),
    [
        (r"#### (.+)", "2 + 2 = 4\n#### 4", "4"),
        (r"#### (.+)", "#### 3\n#### 4 \n", "4"),
        (r"#### (.+)", "four", None),
        (r"-?\d+", "from 12 to -7.", "-7"),
        (r"-?\d*", "12 or so", "12"),
        (r"(yes)|no", "yes no", "yes"),
        (r"(?s).+", " a\nb ", "a\nb"),
        (r"(?s).+", " \n", None),
        (r"[\d,]+", "1,000", "1,000"),
    ],
)
def test_the_answer_is_the_last_match_that_is_not_blank(pattern, text, answer):
    compiled = compiled_pattern(EvaluationSettings(answer_pattern=pattern))

    assert found_answer(compiled, text) == answer


@pytest.mark.parametrize("pattern", ["(", "a{2,1}", "a{99999999999999}", "(" * 9999 + ")" * 9999])
def test_what_is_no_regular_expression_is_refused(pattern):
    with pytest.raises(SettingsError, match=r"evaluation.answer_pattern: .* is not a regular"):
        check_pattern(EvaluationSettings(answer_pattern=pattern))


@pytest.mark.parametrize("pattern", [r"(a+)+$", r"(\d+,?)+x", r"(x+x+)+y", r"(\w+\s?)*$"])
def test_a_pattern_that_would_hang_is_refused(pattern, monkeypatch):
    monkeypatch.setattr("tokensieve.patterns._TRIAL_SECONDS", 0.5)

    with pytest.raises(SettingsError, match="a repetition inside a repetition"):
        check_pattern(EvaluationSettings(answer_pattern=pattern))


@pytest.mark.parametrize(
    "pattern", [None, r"#### (.+)", r"(?s).+", r"-?\d[\d,]*\.?\d*", r"\\boxed\{([^}]*)\}"]
)
def test_patterns_that_people_use_pass_the_trial(pattern):
    check_pattern(EvaluationSettings(answer_pattern=pattern))


def test_an_empty_pattern_is_refused():
    with pytest.raises(ValueError, match="at least 1 character"):
        EvaluationSettings(answer_pattern="")


@pytest.mark.skipif(not SHARED.exists(), reason="needs the shared models and data")
def test_a_trained_model_ends_its_answers_and_the_pattern_finds_them(monkeypatch):
    path = str(SHARED / "models/reference-6m")
    model, tokenizer = load_model(path, "float32", 0), load_tokenizer(path)
    lines = (SHARED / "data/gsm8k/test.jsonl").read_text().splitlines()[:12]
    shard = encoded(path, [json.loads(line) for line in lines])
    settings = EvaluationSettings(answer_pattern="#### (.+)", max_new_tokens=160)

    table, counts = answer_samples(model, tokenizer, shard, settings, lambda num: None)
    monkeypatch.setitem(generation._BATCH_TOKENS, "cpu", 1)
    alone, _ = answer_samples(model, tokenizer, shard, settings, lambda num: None)

    assert table["expected"].to_pylist()[:3] == ["18", "3", "70000"]
    assert table.equals(alone)
    assert counts["unfinished"] <= 3
    assert table["answer"].null_count <= 3
