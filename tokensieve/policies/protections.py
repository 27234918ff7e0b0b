"""What can be protected, each in a sentence and a definition, and which tokens of a shard are.

Shapes: T = tokens of the shard.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from json import JSONDecoder

import numpy as np
from transformers import PreTrainedTokenizerFast

from tokensieve.corpus import Bools, Int8s, Shard
from tokensieve.patterns import Spans, find_spans
from tokensieve.policies.answers import Answers, Span
from tokensieve.policies.writing import Writing
from tokensieve.settings import PolicySettings

MAX_SECONDS = 120
"""How long the user's pattern may search the answers of one shard."""

_MARKERS = (
    r"</?tool_calls?>|</?function_calls?>|</?minimax:tool_call>",  # Hermes, Qwen, MiniMax
    r"</?(?:function|parameter|invoke)(?:=[^<>\s]{1,128}| name=\"[^\"<>\n]{1,128}\")?>",
    r"</?arg_(?:key|value)>|<(?:start|end)_function_call>|<escape>",  # GLM, FunctionGemma
    r"\[/?(?:TOOL_CALLS|ARGS|CALL_ID)\]",  # Mistral
    r"<\|/?tool_calls?\|>|<\|(?:python_tag|eom_id|call|constrain|channel|message)\|>",  # Llama, Phi
    r"<\|(?:START|END)_ACTION\|>|<\|action_(?:start|end)\|>|<\|plugin\|>",  # Command, InternLM
    r"<\|tool_calls?_(?:section_|argument_)?(?:begin|end)\|>",  # Kimi
    "<\uff5ctool\u2581(?:(?:calls?\u2581)(?:begin|end)|sep)\uff5c>",  # DeepSeek
)
_JSON_HEAD = (
    r'\{\s*"(?:tool_)?name"\s*:\s*"[^"\\\n]{1,128}"\s*,\s*"(?:arguments|parameters)"\s*:(?:\s*\{)?'
)
_JSON_END = re.compile(r"(?:\}\s*)?\}\Z")
_TOOL_CALLS = re.compile("|".join([*_MARKERS, _JSON_HEAD]))
_CODE_FENCES = re.compile(r"(?m)^[ \t]*(?:`{3,}(?=[^`\n]*$)|~{3,})(?:[ \t]*[^\s`]+)?")
_IN_A_NAME = r"[\d_A-Za-z\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u024f\u0370-\u052f]"
"""Digits, and letters of scripts that part words with spaces; others stand right before numbers."""
_NUMBERS = re.compile(
    rf"(?<!{_IN_A_NAME})[+\-\u2212]?"
    r"(?:(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?:\.\d+)?|\.\d+)(?:[eE][+-]?\d+)?"
)


@dataclass(frozen=True)
class Protected:
    """One kind of tokens that can be protected."""

    meaning: str
    """Which tokens they are, in a sentence for users."""
    find: Callable[[Answers], Bools]
    """Returns which tokens of the shard are such."""


def _matching(pattern: re.Pattern[str], answers: Answers) -> Bools:
    """Return the tokens that hold a part of a match."""
    return answers.holding([[m.span() for m in pattern.finditer(text)] for text in answers.texts])


def _calls(answers: Answers) -> Bools:
    """Return the tokens that hold a part of the syntax of a call."""
    return answers.holding([[*_call_spans(text)] for text in answers.texts])


def _call_spans(text: str) -> Iterator[Span]:
    """Yield the markers of calls, and of calls in JSON the head and the braces that end it."""
    for match in _TOOL_CALLS.finditer(text):
        yield match.span()
        if match[0].startswith("{"):
            yield _end_of_json(text, match.start())


def _end_of_json(text: str, start: int) -> Span:
    """Return the last brace of the JSON that begins there, with that of its last object if nothing
    is between them; empty if it is no JSON.
    """
    try:
        _, end = JSONDecoder().raw_decode(text, start)
    except (ValueError, RecursionError):
        return start, start
    found = _JSON_END.search(text, start, end)
    assert found is not None, "an object ends with a brace"
    return found.span()


PROTECTIONS: Mapping[str, Protected] = {
    "eos": Protected(
        "the special tokens that close a response, white space after them or not; a response that "
        "was cut has none",
        Answers.closing,
    ),
    "tool_calls": Protected(
        "markers of calls and of their parts, special tokens or not, as in the templates of Qwen, "
        "Hermes, Llama, Mistral, DeepSeek, Kimi, GLM, Phi, Command, InternLM, MiniMax, "
        "FunctionGemma and gpt-oss; of a call in JSON the head, up to where its arguments begin, "
        "and the braces that end it",
        _calls,
    ),
    "code_fences": Protected(
        "three or more backticks or ~ that begin a line, indented or not, and the word after them",
        partial(_matching, _CODE_FENCES),
    ),
    "numbers": Protected(
        "digits with sign, thousands, decimals and exponent, if no digit, _ or letter of the "
        "Latin, Greek or Cyrillic alphabet stands before them: 3 in `3kg`, none of `x86`",
        partial(_matching, _NUMBERS),
    ),
}


class Guard:
    """Finds the tokens of shards that are protected."""

    def __init__(self, tokenizer: PreTrainedTokenizerFast, settings: PolicySettings) -> None:
        """Take the tokenizer of the corpus."""
        self._writing = Writing.of(tokenizer)
        self._pattern = settings.protect_pattern
        self._protections = settings.protections

    def guards(self, shard: Shard, number: int) -> Int8s:
        """Return guard_T: the first protection that each response token has, -1 if none.

        Raises SettingsError if the user's pattern takes longer than MAX_SECONDS; `number` is that
        of the shard.
        """
        answers = Answers(shard, self._writing)
        guard_T = np.full(len(shard.input_ids_T), -1, dtype=np.int8)
        for code, name in reversed([*enumerate(self._protections)]):
            guard_T[self._found(name, answers, number)] = code
        return guard_T

    def _found(self, name: str, answers: Answers, number: int) -> Bools:
        if name in PROTECTIONS:
            return PROTECTIONS[name].find(answers)
        assert self._pattern is not None, "what is no kind of ours is the user's pattern"
        called = f"the answers of shard {number}"
        spans: Spans = find_spans(
            self._pattern, f"policies.{name}", answers.texts, called, MAX_SECONDS
        )
        return answers.holding(spans)
