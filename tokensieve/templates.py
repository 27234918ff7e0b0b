"""Chat templates: messages -> one text, and where in it the answers and the contents lie.

A template is the boundary between a conversation and its tokens, so it says exactly which
characters a model is asked to produce: what follows the header of an assistant message, up to and
with the end-of-turn text.
"""

import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Protocol

from jinja2 import TemplateError
from transformers import PreTrainedTokenizerFast

from tokensieve.errors import InputError, SettingsError
from tokensieve.ingest.records import Message, RowProblem
from tokensieve.storage import sha256_hex

TRIAL_SECONDS = 5

Span = tuple[int, int]
"""First character and the one after the last."""


@dataclass(frozen=True, slots=True)
class Rendered:
    """A conversation as text."""

    text: str
    answers: tuple[Span, ...]
    """What the model is to produce, one span per assistant message."""
    contents: tuple[Span, ...]
    """Where the content of each message stands; (-1, -1) where it cannot be found."""


class Template(Protocol):
    """How a conversation is written down."""

    @property
    def name(self) -> str:
        """Return what a user calls it."""
        ...

    @property
    def fingerprint(self) -> str:
        """Return what changes when the same conversation would be written in another way."""
        ...

    @property
    def adds_special_tokens(self) -> bool:
        """Return whether the tokenizer adds its own (BOS); a Jinja template writes them itself."""
        ...

    def render(self, messages: Sequence[Message]) -> Rendered:
        """Return the conversation as text. Raises RowProblem for one that cannot be written."""
        ...


class _Writer:
    """Appends pieces of text and remembers where answers and contents begin and end."""

    def __init__(self) -> None:
        self.parts: list[str] = []
        self.length = 0
        self.answers: list[Span] = []
        self.contents: list[Span] = []

    def write(self, text: str) -> Span:
        start = self.length
        self.parts.append(text)
        self.length += len(text)
        return start, self.length

    def content(self, text: str) -> int:
        """Write a message's content; return where it starts."""
        self.contents.append(self.write(text))
        return self.contents[-1][0]

    def answer(self, start: int) -> None:
        """Everything from `start` to here is to be produced by the model."""
        self.answers.append((start, self.length))

    def rendered(self, cut: int = 0) -> Rendered:
        """Return what was written, without the last `cut` characters."""
        end = self.length - cut
        answers = tuple((start, min(stop, end)) for start, stop in self.answers)
        return Rendered("".join(self.parts)[:end], answers, tuple(self.contents))


@dataclass(frozen=True)
class Tulu:
    """The text template of open-instruct, as the Token Cleaning authors build it.

    The role markers are plain text. EOS ends an answer and is trained, and so is the line end after
    an EOS inside the conversation; the last line end is dropped.
    """

    eos: str
    name: str = "tulu"
    fingerprint: str = "tulu-1"
    adds_special_tokens: bool = True

    def render(self, messages: Sequence[Message]) -> Rendered:
        """Return `<|role|>`, line end, stripped content, EOS after answers, line end."""
        writer = _Writer()
        for message in messages:
            writer.write(f"<|{message.role}|>\n")
            start = writer.content(_joined(message).strip())
            if message.role == "assistant":
                writer.write(self.eos + "\n")
                writer.answer(start)
            else:
                writer.write("\n")
        return writer.rendered(cut=1)


@dataclass(frozen=True)
class ChatML:
    """`<|im_start|>role`, line end, content, `<|im_end|>`, line end. `<|im_end|>` is trained."""

    name: str = "chatml"
    fingerprint: str = "chatml-1"
    adds_special_tokens: bool = True

    def render(self, messages: Sequence[Message]) -> Rendered:
        """Return the conversation in ChatML."""
        writer = _Writer()
        for message in messages:
            writer.write(f"<|im_start|>{message.role}\n")
            start = writer.content(_joined(message))
            writer.write("<|im_end|>")
            if message.role == "assistant":
                writer.answer(start)
            writer.write("\n")
        return writer.rendered()


@dataclass(frozen=True)
class Alpaca:
    """The Stanford Alpaca prompt; EOS after each response is trained. More turns follow below."""

    eos: str
    name: str = "alpaca"
    fingerprint: str = "alpaca-1"
    adds_special_tokens: bool = True

    _PLAIN = (
        "Below is an instruction that describes a task. "
        "Write a response that appropriately completes the request."
    )
    _WITH_INPUT = (
        "Below is an instruction that describes a task, paired with an input that provides further "
        "context. Write a response that appropriately completes the request."
    )

    def render(self, messages: Sequence[Message]) -> Rendered:
        """Return preamble (or the system message), instruction, input if there is one, response."""
        writer = _Writer()
        if messages[0].role != "system":
            writer.write(self._WITH_INPUT if messages[0].context else self._PLAIN)
        for message in messages:
            if message.role == "assistant":
                writer.write("\n\n### Response:\n")
                start = writer.content(message.content)
                writer.write(self.eos)
                writer.answer(start)
            elif message.role == "user":
                writer.write("\n\n### Instruction:\n")
                writer.content(message.content)
                writer.write(f"\n\n### Input:\n{message.context}" if message.context else "")
            else:
                writer.content(message.content)
        return writer.rendered()


@dataclass(frozen=True)
class Plain:
    """Contents one after another: a space (unless there is one) before an answer, EOS after it."""

    eos: str
    name: str = "plain"
    fingerprint: str = "plain-1"
    adds_special_tokens: bool = True

    def render(self, messages: Sequence[Message]) -> Rendered:
        """Return the contents; other messages are set apart by line ends."""
        writer = _Writer()
        for before, message in pairwise((None, *messages)):
            assert message is not None
            content = _joined(message)
            if message.role == "assistant":
                start = writer.write(_joint(before, content))[0]
                writer.content(content)
                writer.write(self.eos)
                writer.answer(start)
            else:
                writer.write("\n" if before else "")
                writer.content(content)
        return writer.rendered()


@dataclass(frozen=True)
class Jinja:
    """A chat template in Jinja, the model's own or a file, rendered in transformers' sandbox."""

    tokenizer: PreTrainedTokenizerFast
    source: str
    name: str
    adds_special_tokens: bool = False

    @property
    def fingerprint(self) -> str:
        """Return a hash of the template's text."""
        return f"jinja-{sha256_hex(self.source.encode())[:16]}"

    def render(self, messages: Sequence[Message]) -> Rendered:
        """Return the conversation; each answer is what follows its own prompt (prefix property).

        White space after an answer's end-of-turn token is not part of the answer.
        """
        turns = [{"role": m.role, "content": _joined(m)} for m in messages]
        text = self._text(turns)
        answers = [
            self._answer(text, turns, place)
            for place, turn in enumerate(turns)
            if turn["role"] == "assistant"
        ]
        return Rendered(text, tuple(answers), _found(text, [turn["content"] for turn in turns]))

    def _answer(self, text: str, turns: list[dict[str, str]], place: int) -> Span:
        prompt = self._text(turns[:place], add_generation_prompt=True)
        upto = text if place == len(turns) - 1 else self._text(turns[: place + 1])
        if not (text.startswith(upto) and upto.startswith(prompt)):
            raise RowProblem(
                "template_not_prefix",
                f"the template {self.name!r} writes what comes before this answer differently when "
                "the answer follows, so the answer's tokens cannot be told apart",
                f"messages[{place}]",
            )
        return len(prompt), len(upto.rstrip())

    def _text(self, turns: list[dict[str, str]], **options: Any) -> str:
        try:
            text: str = self.tokenizer.apply_chat_template(
                turns, chat_template=self.source, tokenize=False, **options
            )
        except TemplateError as error:
            raise RowProblem("template_refuses", str(error), "messages") from None
        return text


def load_template(name: str, tokenizer: PreTrainedTokenizerFast) -> Template:
    """Return the template called `name`: `model`, a built-in one, or the path of a Jinja file.

    Raises SettingsError if there is none of that name, InputError if the model lacks what it needs.
    """
    if name == "model":
        return _model_template(tokenizer)
    if name == "chatml":
        return ChatML()
    with_eos: dict[str, Callable[[str], Template]] = {
        "tulu": Tulu,
        "alpaca": Alpaca,
        "plain": Plain,
    }
    if name in with_eos:
        if not tokenizer.eos_token:
            raise InputError(
                f"{tokenizer.name_or_path}: the tokenizer has no EOS token, which the template "
                f"{name!r} writes after each answer. Set eos_token in its tokenizer_config.json."
            )
        return with_eos[name](tokenizer.eos_token)
    if not Path(name).is_file():
        raise SettingsError(
            f"template: {name!r} is neither `model`, `tulu`, `chatml`, `alpaca`, `plain` nor a file"
        )
    return _tried(Jinja(tokenizer, Path(name).read_text(encoding="utf-8"), Path(name).name))


def _model_template(tokenizer: PreTrainedTokenizerFast) -> Template:
    source = tokenizer.chat_template
    if not isinstance(source, str):
        raise InputError(
            f"{tokenizer.name_or_path}: the tokenizer has no chat template of its own. "
            "Choose one: --template tulu, chatml, alpaca, plain, or the path of a Jinja file."
        )
    return _tried(Jinja(tokenizer, source, "model"))


def _tried(template: Jinja) -> Jinja:
    """Return the template if it ends on a small conversation; Jinja's sandbox lets loops run on.

    What else is wrong with it shows in the rows, with their places.
    """
    conversation = [Message("user", "question"), Message("assistant", "answer")]
    try:
        with _time_limit(TRIAL_SECONDS), suppress(RowProblem):
            template.render(conversation)
    except TimeoutError:
        raise InputError(
            f"template {template.name!r}: did not end within {TRIAL_SECONDS} s on two messages. "
            "Look for its loops, or choose another one by --template."
        ) from None
    return template


@contextmanager
def _time_limit(seconds: int) -> Iterator[None]:
    """Raise TimeoutError in the block after so many seconds, in the main thread at least."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGALRM, _stop)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def _stop(number: int, frame: object) -> None:
    raise TimeoutError


def _joined(message: Message) -> str:
    return f"{message.content}\n\n{message.context}" if message.context else message.content


def _joint(before: Message | None, answer: str) -> str:
    """Return the space between a prompt and its answer."""
    touching = before is None or before.content[-1:].isspace() or answer[:1].isspace()
    return "" if touching else " "


def _found(text: str, contents: list[str]) -> tuple[Span, ...]:
    """Return where each content stands in the text, in order; (-1, -1) if it is not there."""
    spans, position = [], 0
    for content in contents:
        start = text.find(content.strip(), position)
        spans.append((start, start + len(content.strip())) if start >= 0 else (-1, -1))
        position = max(position, spans[-1][1])
    return tuple(spans)
