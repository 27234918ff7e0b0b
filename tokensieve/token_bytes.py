"""What each token of a vocabulary writes, byte by byte.

A token may be a part of a character; only the bytes of several together are text again.
"""

import json
import re
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerFast

_SPACE = "\u2581"
"""SentencePiece's mark for a space."""
_BYTE = re.compile(r"<0x([0-9A-F]{2})>")
"""How SentencePiece names a token that is one byte."""


def token_bytes(tokenizer: PreTrainedTokenizerFast) -> list[bytes | None]:
    """Return what each token id writes: UTF-8, or a part of it; None for a hole in the vocabulary.

    Those of a sample's tokens, one after another, are its text, with a space before it where the
    tokenizer works with words. What was added to a vocabulary, as special tokens are, writes its
    name; so does every token of a tokenizer that joins its tokens in a way of its own.
    """
    names = tokenizer.convert_ids_to_tokens(list(range(len(tokenizer))))
    written, added = _writing(tokenizer.backend_tokenizer), set(tokenizer.get_added_vocab())
    return [
        None if name is None else name.encode() if name in added else written(name)
        for name in names
    ]


def _writing(backend: Tokenizer) -> Callable[[str], bytes]:
    """Return how it is told from the name of a token what it writes, as the decoder reads it."""
    decoder = json.loads(backend.to_str())["decoder"] or {}
    parts = {part["type"]: part for part in decoder.get("decoders", [decoder]) if part}
    if "ByteLevel" in parts:
        return _of_bytes
    if "WordPiece" in parts:
        return partial(_of_a_word, parts["WordPiece"])
    return _of_a_piece


def _of_bytes(name: str) -> bytes:
    """Return what a token writes whose name has a letter for each byte."""
    if not all(letter in _BYTE_OF for letter in name):
        return name.encode()
    return bytes(_BYTE_OF[letter] for letter in name)


def _of_a_piece(name: str) -> bytes:
    """Return what a token of SentencePiece writes, or one whose name is its text."""
    byte = _BYTE.fullmatch(name)
    return bytes.fromhex(byte[1]) if byte else name.replace(_SPACE, " ").encode()


def _of_a_word(decoder: Mapping[str, Any], name: str) -> bytes:
    """Return what a token of WordPiece writes: a word, or what goes on with one."""
    goes_on = name.startswith(decoder["prefix"])
    return (name.removeprefix(decoder["prefix"]) if goes_on else f" {name}").encode()


def _byte_letters() -> dict[str, int]:
    """Return the byte that each letter of a byte-level name stands for.

    Bytes that Latin-1 can print are themselves; the others are 256 and what follows, in order. See
    the tokenizer of Radford et al., "Language Models are Unsupervised Multitask Learners" (2019).
    """
    shown = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    rest = [byte for byte in range(0x100) if byte not in shown]
    return {chr(byte): byte for byte in shown} | {chr(256 + n): byte for n, byte in enumerate(rest)}


_BYTE_OF = _byte_letters()
