"""The templates that need no file.

White space around a content is not written: not by the originals of `tulu`, nor by the templates of
Llama 3 and Gemma. Those of ChatML and Alpaca write it, but then an answer that begins with a line
end or spaces shares a token with the header before it in most vocabularies, so that no mask is
right, and training would show a token that never follows a prompt. `plain` strips answers only.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from tokensieve.ingest.records import Message
from tokensieve.templates.rendered import Rendered, Span, joined_content


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
            start = writer.content(joined_content(message).strip())
            if message.role == "assistant":
                writer.write(self.eos + "\n")
                writer.answer(start)
            else:
                writer.write("\n")
        return writer.rendered(cut=1)


@dataclass(frozen=True)
class ChatML:
    """`<|im_start|>role`, line end, stripped content, `<|im_end|>` (trained), line end."""

    name: str = "chatml"
    fingerprint: str = "chatml-2"
    adds_special_tokens: bool = True

    def render(self, messages: Sequence[Message]) -> Rendered:
        """Return the conversation in ChatML."""
        writer = _Writer()
        for message in messages:
            writer.write(f"<|im_start|>{message.role}\n")
            start = writer.content(joined_content(message).strip())
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
    fingerprint: str = "alpaca-2"
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
            writer.write(self._WITH_INPUT if messages[0].context.strip() else self._PLAIN)
        for message in messages:
            if message.role == "assistant":
                writer.write("\n\n### Response:\n")
                start = writer.content(message.content.strip())
                writer.write(self.eos)
                writer.answer(start)
            elif message.role == "user":
                writer.write("\n\n### Instruction:\n")
                writer.content(_with_input(message))
            else:
                writer.content(message.content.strip())
        return writer.rendered()


@dataclass(frozen=True)
class Plain:
    """Contents one after another: a space before an answer, EOS after it.

    If the prompt ends with a line end, there is no space. Spaces at the end of a prompt give way to
    the one before the answer, with which most vocabularies write the answer's first word.
    """

    eos: str
    name: str = "plain"
    fingerprint: str = "plain-2"
    adds_special_tokens: bool = True

    def render(self, messages: Sequence[Message]) -> Rendered:
        """Return the contents; other messages are set apart by line ends."""
        writer = _Writer()
        for before, message in pairwise((None, *messages)):
            assert message is not None
            if message.role == "assistant":
                start = writer.write(_joint(before))[0]
                writer.content(joined_content(message).strip())
                writer.write(self.eos)
                writer.answer(start)
            else:
                writer.write("\n" if before else "")
                writer.content(joined_content(message).rstrip(" "))
        return writer.rendered()


def _with_input(message: Message) -> str:
    """Return an instruction and its input. Both are what a user wrote, the header is harmless."""
    context = message.context.strip()
    return message.content.strip() + (f"\n\n### Input:\n{context}" if context else "")


def _joint(before: Message | None) -> str:
    """Return what stands between a prompt and its answer."""
    if before is None:
        return ""
    ends_line = before.role != "assistant" and joined_content(before).rstrip(" ")[-1:].isspace()
    return "" if ends_line else " "
