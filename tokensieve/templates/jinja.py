"""Chat templates in Jinja: the model's own, or a file."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from jinja2 import TemplateError
from transformers import PreTrainedTokenizerFast
from transformers.utils.chat_template_utils import _compile_jinja_template

from tokensieve.ingest.records import Message, RowProblem
from tokensieve.storage import sha256_hex
from tokensieve.templates.contents import located, marked
from tokensieve.templates.rendered import NOWHERE, Rendered, Span, joined_content

DATE = datetime(2024, 7, 26)
"""Today, for every template that asks: the date that Llama 3's write where there is no clock."""

_OF_A_TEMPLATE = (TemplateError, ArithmeticError, LookupError, TypeError, ValueError)
"""What a template, which is a program of somebody else, raises."""

_Turns = list[dict[str, str]]


@dataclass(frozen=True)
class Jinja:
    """A chat template in Jinja, rendered in transformers' sandbox as transformers does.

    The one difference is the clock. Templates such as those of Llama 3 print today's date, and the
    same drop would give another corpus on every day; here it is always DATE.
    """

    tokenizer: PreTrainedTokenizerFast
    source: str
    name: str
    adds_special_tokens: bool = False

    @property
    def fingerprint(self) -> str:
        """Return a hash of the template's text and of the date it is told."""
        return f"jinja-2-{sha256_hex(f'{DATE.isoformat()} {self.source}'.encode())[:16]}"

    def render(self, messages: Sequence[Message]) -> Rendered:
        """Return the conversation; each answer is what follows its own prompt (prefix property).

        White space after an answer's end-of-turn token is not part of the answer.
        """
        turns = [{"role": m.role, "content": joined_content(m)} for m in messages]
        text = self._text(turns)
        answers = [
            self._answer(text, turns, place)
            for place, turn in enumerate(turns)
            if turn["role"] == "assistant"
        ]
        return Rendered(text, tuple(answers), self._contents(text, turns))

    def _answer(self, text: str, turns: _Turns, place: int) -> Span:
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

    def _contents(self, text: str, turns: _Turns) -> tuple[Span, ...]:
        contents = [turn["content"] for turn in turns]
        marks = zip(turns, marked(contents), strict=True)
        try:
            marked_text = self._text([turn | {"content": mark} for turn, mark in marks])
        except RowProblem:  # the template wants contents of a certain form
            return (NOWHERE,) * len(turns)
        return located(text, contents, marked_text)

    def _text(self, turns: _Turns, add_generation_prompt: bool = False) -> str:
        """Return what the template writes.

        `apply_chat_template` would do the same, but lets no function through to the template, and
        refuses the empty conversation before an answer that comes first.
        """
        try:
            text: str = _compile_jinja_template(self.source).render(
                self.tokenizer.special_tokens_map,
                messages=turns,
                tools=None,
                documents=None,
                add_generation_prompt=add_generation_prompt,
                strftime_now=DATE.strftime,
            )
        except _OF_A_TEMPLATE as error:
            raise RowProblem("template_refuses", str(error), "messages") from None
        return text
