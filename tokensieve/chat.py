"""Records -> input_ids and response mask, verified per sample.

The mask is computed from the template's own text: the tokens of an answer are those inside its
characters. If a token would straddle the edge of an answer, the mask cannot be right, and the row
is quarantined instead of guessed.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerFast

from tokensieve.corpus import Bools, Int16s, Int32s, Int64s
from tokensieve.errors import shortened
from tokensieve.ingest.records import Record, RowProblem
from tokensieve.models import load_tokenizer
from tokensieve.templates import Rendered, Span, Template, joined_content, load_template


@dataclass(frozen=True, slots=True)
class Encoded:
    """One sample's tokens. Shapes: T = its tokens."""

    input_ids_T: Int32s
    response_T: Bools
    turn_T: Int16s
    """Number of answers that ended before the token."""
    num_truncated: int
    """Tokens cut off at the end."""
    num_specials: int
    """Special tokens' names inside a message, encoded as the plain text they are."""


@dataclass(frozen=True, slots=True)
class _Tokens:
    """A text's tokens with their characters; start = end for tokens that stand for none."""

    ids: list[int]
    starts_T: Int64s
    ends_T: Int64s


class Encoder:
    """Encodes records with one tokenizer and one template."""

    def __init__(
        self, tokenizer: PreTrainedTokenizerFast, template: Template, max_length: int
    ) -> None:
        """Keep the tokenizer's backend, and a second one to which no text is special."""
        self.template = template
        self.max_length = max_length
        self.tokenizer = tokenizer
        self.vocabulary_size = len(tokenizer)
        self._backend = tokenizer.backend_tokenizer
        self._backend.no_truncation()
        self._backend.no_padding()
        self._literal = Tokenizer.from_str(self._backend.to_str())
        self._literal.encode_special_tokens = True
        added = tokenizer.added_tokens_decoder.values()
        names = sorted((t.content for t in added if t.special), key=len, reverse=True)
        self._special = re.compile("|".join(map(re.escape, names)) or r"(?!)")
        self._unknown = tokenizer.unk_token_id
        self._special_ids = set(tokenizer.all_special_ids)
        self._leading, self._trailing = _own_special_tokens(self._backend, template)

    def encode(self, records: Sequence[Record]) -> list[Encoded | RowProblem]:
        """Return, for each record in order, its sample or why there is none."""
        results: list[Any] = [self._prepared(record) for record in records]
        places = [n for n, result in enumerate(results) if isinstance(result, Rendered)]
        tokens = self._tokenized([results[n] for n in places])
        for n, each in zip(places, tokens, strict=True):
            results[n] = self._sample(results[n], each)
        return results

    def token_spans(self, record: Record) -> tuple[Int64s, Int64s, Int64s]:
        """Return message_T, start_T, end_T: each token's characters in its message's content.

        -1 in all three for tokens of the template. The record must encode to a sample; T is after
        truncation.
        """
        rendered = self._rendered(record)
        tokens = self._tokenized([rendered])[0]
        message_T = np.full(len(tokens.ids), -1)
        start_T, end_T = message_T.copy(), message_T.copy()
        for message, (start, end) in enumerate(rendered.contents):
            inside = (tokens.starts_T < end) & (tokens.ends_T > start)
            written = rendered.text[start:end]
            shift = _indent(joined_content(record.messages[message])) - _indent(written) - start
            message_T[inside] = message
            start_T[inside] = np.maximum(tokens.starts_T[inside], start) + shift
            end_T[inside] = np.minimum(tokens.ends_T[inside], end) + shift
        return message_T[: self.max_length], start_T[: self.max_length], end_T[: self.max_length]

    def _prepared(self, record: Record) -> Rendered | Encoded | RowProblem:
        """Return the text to tokenise, or the result if there is nothing to tokenise."""
        try:
            if record.tokens is not None:
                return self._taken_as_is(*record.tokens)
            return self._rendered(record)
        except RowProblem as problem:
            return problem

    def _rendered(self, record: Record) -> Rendered:
        answers = [m.content for m in record.messages if m.role == "assistant"]
        if not answers:
            raise RowProblem("no_target", "no assistant message", "messages", "skipped")
        if not any(answer.strip() for answer in answers):
            raise RowProblem("empty_target", "every answer is blank", "messages", "skipped")
        rendered = self.template.render(record.messages)
        for n, (start, _) in enumerate(rendered.contents):
            if start < 0 and (name := self._special.search(joined_content(record.messages[n]))):
                raise RowProblem(
                    "special_token_not_located",
                    f"the message names the special token {shortened(name[0])}, and the template "
                    f"{self.template.name!r} does not write it where it can be told from its own",
                    f"messages[{n}]",
                )
        return rendered

    def _taken_as_is(self, ids: list[int], labels: list[int]) -> Encoded:
        """Return a sample that was tokenised elsewhere: trained labels are its response."""
        if not ids:
            raise RowProblem("no_tokens", "", "input_ids", "skipped")
        input_ids_T = np.array(ids, dtype=np.int64)
        if input_ids_T.min() < 0 or input_ids_T.max() >= self.vocabulary_size:
            detail = f"a token id is outside 0..{self.vocabulary_size - 1}: another tokenizer's?"
            raise RowProblem("token_out_of_vocabulary", detail, "input_ids")
        response_T = np.array(labels) != -100
        ended_T = response_T[:-1] & ~response_T[1:]  # the next token is no response any more
        turn_T = np.concatenate([[0], np.cumsum(ended_T)])
        return self._cut(ids, response_T, turn_T, num_specials=0)

    def _tokenized(self, rendered: list[Rendered]) -> list[_Tokens]:
        """Return each text's tokens; texts whose messages name special tokens go one by one."""
        together = [(each, self._special_names(each)) for each in rendered]
        ordinary = [each.text for each, (_, named) in together if not named]
        batch = iter(self._backend.encode_batch(ordinary, add_special_tokens=False))
        return [
            self._literally(each.text, owned)
            if named
            else self._framed([(next(batch), 0)], len(each.text))
            for each, (owned, named) in together
        ]

    def _special_names(self, rendered: Rendered) -> tuple[list[Span], list[Span]]:
        """Return where special tokens are named: by the template itself, in messages."""
        owned: list[Span] = []
        named: list[Span] = []
        contents = [span for span in rendered.contents if span[0] >= 0]
        for found in self._special.finditer(rendered.text):
            touches = any(start < found.end() and found.start() < end for start, end in contents)
            (named if touches else owned).append(found.span())
        return owned, named

    def _literally(self, text: str, owned: list[Span]) -> _Tokens:
        """Tokenise so that only the template's own special tokens are special.

        The tokenizer itself cuts a text at special tokens before anything else; here the cuts
        inside messages are left out, and nothing else changes.
        """
        pieces, position = [], 0
        for start, end in [*owned, (len(text), len(text))]:
            before, special = text[position:start], text[start:end]
            pieces.append((self._literal.encode(before, add_special_tokens=False), position))
            pieces.append((self._backend.encode(special, add_special_tokens=False), start))
            position = end
        return self._framed(pieces, len(text))

    def _framed(self, pieces: list[tuple[Any, int]], length: int) -> _Tokens:
        """Return the pieces' tokens between those that the tokenizer adds itself."""
        ids = [*self._leading]
        offsets: list[Span] = [(0, 0)] * len(self._leading)
        for encoding, shift in pieces:
            ids += encoding.ids
            offsets += (
                [(a + shift, b + shift) for a, b in encoding.offsets] if shift else encoding.offsets
            )
        ids += self._trailing
        offsets += [(length, length)] * len(self._trailing)
        starts_T, ends_T = np.array(offsets, dtype=np.int64).reshape(-1, 2).T
        return _Tokens(ids, starts_T, ends_T)

    def _sample(self, rendered: Rendered, tokens: _Tokens) -> Encoded | RowProblem:
        starts_T, ends_T = tokens.starts_T, tokens.ends_T
        response_T = np.zeros(len(tokens.ids), dtype=bool)
        for start, end in rendered.answers:
            if _straddled(tokens, start) or _straddled(tokens, end):
                detail = "a token holds characters of an answer and of what is around it"
                return RowProblem("boundary_inside_token", detail, "messages")
            response_T |= (starts_T >= start) & (ends_T <= end) & (ends_T > starts_T)
        trained = set(np.array(tokens.ids)[response_T].tolist())
        if self._unknown in trained and trained <= self._special_ids:
            detail = "the tokenizer knows no character of any answer"
            return RowProblem("only_unknown_tokens", detail, "messages", "skipped")
        turn_T = np.searchsorted([end for _, end in rendered.answers], starts_T, side="right")
        try:
            num_specials = len(self._special_names(rendered)[1])
            return self._cut(tokens.ids, response_T, turn_T, num_specials)
        except RowProblem as problem:
            return problem

    def _cut(self, ids: list[int], response_T: Bools, turn_T: Int64s, num_specials: int) -> Encoded:
        """Return the first max_length tokens as a sample; RowProblem if none is a response."""
        if not response_T.any():
            raise RowProblem("no_target", "no token belongs to an answer", "", "skipped")
        if not response_T[: self.max_length].any():
            detail = f"the first answer begins after max_length = {self.max_length} tokens"
            raise RowProblem("target_truncated_away", detail, "", "skipped")
        return Encoded(
            np.array(ids[: self.max_length], dtype=np.int32),
            response_T[: self.max_length],
            turn_T[: self.max_length].astype(np.int16),
            num_truncated=max(0, len(ids) - self.max_length),
            num_specials=num_specials,
        )


def load_encoder(model: str, template: str, max_length: int) -> Encoder:
    """Return the encoder of a model directory's tokenizer; raises what loading either part does."""
    tokenizer = load_tokenizer(model)
    return Encoder(tokenizer, load_template(template, tokenizer), max_length)


def _own_special_tokens(backend: Tokenizer, template: Template) -> tuple[list[int], list[int]]:
    """Return what the tokenizer itself puts before and after a text under this template."""
    if not template.adds_special_tokens:
        return [], []
    encoding = backend.encode("a", add_special_tokens=True)
    own = [n for n, special in enumerate(encoding.special_tokens_mask) if not special]
    return encoding.ids[: own[0]], encoding.ids[own[-1] + 1 :]


def _indent(text: str) -> int:
    """Return how many characters of white space a text begins with."""
    return len(text) - len(text.lstrip())


def _straddled(tokens: _Tokens, edge: int) -> bool:
    return bool(((tokens.starts_T < edge) & (tokens.ends_T > edge)).any())
