"""Exact match: does a model, asked for a sample's last response, come to the same answer?"""

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from tokensieve.corpus import Int32s, Shard
from tokensieve.evaluation.generation import Continuation, continuations
from tokensieve.evaluation.patterns import MAX_CHARACTERS, compiled_pattern, found_answer
from tokensieve.settings import EvaluationSettings

ANSWER_SCHEMA = pa.schema(
    [
        pa.field("sample_id", pa.string(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("expected", pa.string(), nullable=False),
        pa.field("answer", pa.string()),
        pa.field("generated", pa.string(), nullable=False),
        pa.field("correct", pa.bool_(), nullable=False),
    ]
)


@dataclass(frozen=True)
class _Question:
    """A sample's last exchange."""

    sample: int
    prompt_ids: Int32s
    response_ids: Int32s
    expected: str
    """The answer in its response."""


def answer_samples(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    shard: Shard,
    settings: EvaluationSettings,
    on_batch: Callable[[int], None],
) -> tuple[pa.Table, dict[str, int]]:
    """Return a row in ANSWER_SCHEMA for every sample that was asked, and what was counted.

    The prompt is all that stands before the last turn's response, so earlier responses are the
    sample's own. `answer` is null where the pattern finds none in what was generated, of which
    the last MAX_CHARACTERS are searched and kept. Counts: `samples`; `unanswerable`, not asked
    because there is no prompt or no answer in the sample's own response; `correct`; `unfinished`,
    cut at the limit (its answer counts all the same). `on_batch` is told the samples that are done;
    its calls add up to N. Raises ResourceError if one sample does not fit the memory.
    """
    pattern = compiled_pattern(settings)
    assert pattern is not None, "without a pattern nothing is generated"
    questions = _questions(tokenizer, shard, pattern)
    on_batch(shard.num_samples - len(questions))
    prompts = [question.prompt_ids for question in questions]
    ends = ending_tokens(model, tokenizer) | _usual_end(tokenizer, questions)
    replies = continuations(model, prompts, settings.max_new_tokens, ends, on_batch)
    texts = [_text(tokenizer, reply.token_ids) for reply in replies]
    table = _table(shard, questions, texts, pattern)
    return table, _counts(shard, table, replies)


def exact_match(counts: dict[str, int]) -> float | None:
    """Return the share of correct answers among the samples that were asked, None if none was."""
    num_asked = counts["samples"] - counts["unanswerable"]
    return counts["correct"] / num_asked if num_asked else None


def ending_tokens(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast) -> frozenset[int]:
    """Return the tokens that end a text, as the model and its tokenizer have it."""
    of_model = model.generation_config.eos_token_id
    ends = of_model if isinstance(of_model, list) else [of_model]
    return frozenset(end for end in [*ends, tokenizer.eos_token_id] if end is not None)


def _questions(
    tokenizer: PreTrainedTokenizerFast, shard: Shard, pattern: re.Pattern[str]
) -> list[_Question]:
    """Return the samples that can be asked."""
    questions = []
    for sample, span in enumerate(shard.slices()):
        ids, response, turn = shard.input_ids_T[span], shard.response_T[span], shard.turn_T[span]
        last = response & (turn == turn[response].max(initial=0))
        start = int(np.argmax(last)) if last.any() else 0
        expected = found_answer(pattern, _text(tokenizer, ids[last].tolist()))
        if start and expected is not None:
            questions.append(_Question(sample, ids[:start], ids[last], expected))
    return questions


def _usual_end(tokenizer: PreTrainedTokenizerFast, questions: list[_Question]) -> frozenset[int]:
    """Return the special token that most responses end with, if there is one.

    A chat template may end a message with another token than the tokenizer ends a text with. Most,
    not all: a sample that was cut ends with any token.
    """
    last_tokens = Counter(int(question.response_ids[-1]) for question in questions)
    added = tokenizer.added_tokens_decoder
    usual = [id for id, _ in last_tokens.most_common(1) if id in added and added[id].special]
    return frozenset(usual)


def _text(tokenizer: PreTrainedTokenizerFast, token_ids: list[int]) -> str:
    """Return the end of the text; bytes that are no UTF-8 become U+FFFD."""
    text = tokenizer.decode(token_ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)
    return str(text)[-MAX_CHARACTERS:]


def _table(
    shard: Shard, questions: list[_Question], texts: list[str], pattern: re.Pattern[str]
) -> pa.Table:
    answers = [found_answer(pattern, text) for text in texts]
    expected = [question.expected for question in questions]
    columns = {
        "sample_id": [shard.sample_ids[question.sample] for question in questions],
        "source": [shard.sources[question.sample] for question in questions],
        "expected": expected,
        "answer": answers,
        "generated": texts,
        "correct": [one == other for one, other in zip(expected, answers, strict=True)],
    }
    return pa.table(columns, schema=ANSWER_SCHEMA)


def _counts(shard: Shard, table: pa.Table, replies: list[Continuation]) -> dict[str, int]:
    return {
        "samples": shard.num_samples,
        "unanswerable": shard.num_samples - table.num_rows,
        "correct": sum(table["correct"].to_pylist()),
        "unfinished": sum(not reply.finished for reply in replies),
    }
