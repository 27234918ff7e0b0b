"""The tokens of a tokenizer as people read them."""

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

import pyarrow as pa
from transformers import PreTrainedTokenizerFast

from tokensieve.visible_text import spelt_bytes

VOCABULARY_SCHEMA = pa.schema(
    [
        pa.field("token_id", pa.int32(), nullable=False),
        pa.field("text", pa.string(), nullable=False),
        pa.field("special", pa.bool_(), nullable=False),
    ]
)

_SPACE = "\u2581"
"""SentencePiece's mark for a space."""
_BYTE = re.compile(r"<0x([0-9A-F]{2})>")
"""How SentencePiece names a token that is one byte."""
_NO_CHARACTER = re.compile("[\udc80-\udcff]")
"""What Python makes of bytes that are no character."""


def vocabulary_table(tokenizer: PreTrainedTokenizerFast) -> pa.Table:
    """Return every token id with its text, in VOCABULARY_SCHEMA.

    The texts of a sample's tokens, one after another, are its text, with a space before it where
    the tokenizer works with words. Bytes that are only a part of a character are spelt out, as in
    ⟨0xE2⟩⟨0x80⟩.
    """
    ids = list(range(len(tokenizer)))
    names = tokenizer.convert_ids_to_tokens(ids)
    special, read = set(tokenizer.all_special_ids), _reader(tokenizer)
    added = set(tokenizer.get_added_vocab())
    texts = [
        _text_of(id, name, read, is_added=name in added)
        for id, name in zip(ids, names, strict=True)
    ]
    return pa.table([ids, texts, [id in special for id in ids]], schema=VOCABULARY_SCHEMA)


def _text_of(id: int, name: str | None, read: Callable[[str], str], is_added: bool) -> str:
    """Return the text of a token; what was added to a vocabulary is called what it says."""
    if name is None:  # a hole in the vocabulary
        return f"<{id}>"
    return name if is_added else read(name) or name


def _reader(tokenizer: PreTrainedTokenizerFast) -> Callable[[str], str]:
    """Return how the text of a token is told from its name."""
    decoder = json.loads(tokenizer.backend_tokenizer.to_str())["decoder"] or {}
    parts = {part["type"]: part for part in decoder.get("decoders", [decoder]) if part}
    if "ByteLevel" in parts:
        return _of_bytes
    if "WordPiece" in parts:
        return lambda name: _of_a_word(name, parts["WordPiece"])
    return _of_a_piece


def _of_bytes(name: str) -> str:
    """Return the text of a token whose name has a letter for each byte."""
    if not all(letter in _BYTE_OF for letter in name):
        return name
    return _decoded(bytes(_BYTE_OF[letter] for letter in name))


def _of_a_piece(name: str) -> str:
    """Return the text of a token of SentencePiece, or of one whose name is its text."""
    byte = _BYTE.fullmatch(name)
    return _decoded(bytes.fromhex(byte[1])) if byte else name.replace(_SPACE, " ")


def _of_a_word(name: str, decoder: Mapping[str, Any]) -> str:
    """Return the text of a token of WordPiece: a word, or what goes on with one."""
    goes_on = name.startswith(decoder["prefix"])
    return name.removeprefix(decoder["prefix"]) if goes_on else f" {name}"


def _decoded(data: bytes) -> str:
    text = data.decode("utf-8", "surrogateescape")
    return _NO_CHARACTER.sub(lambda found: spelt_bytes(bytes([ord(found[0]) - 0xDC00])), text)


def _byte_letters() -> dict[str, int]:
    """Return the byte that each letter of a byte-level name stands for.

    Bytes that Latin-1 can print are themselves; the others are 256 and what follows, in order. See
    the tokenizer of Radford et al., "Language Models are Unsupervised Multitask Learners" (2019).
    """
    shown = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    rest = [byte for byte in range(0x100) if byte not in shown]
    return {chr(byte): byte for byte in shown} | {chr(256 + n): byte for n, byte in enumerate(rest)}


_BYTE_OF = _byte_letters()
