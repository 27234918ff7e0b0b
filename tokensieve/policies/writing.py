"""What each token of a vocabulary writes, byte by byte.

A token may be a part of a character, and the text of its id then says nothing; only the bytes of
several together are text again.

Shapes: V = tokens of the vocabulary.
"""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerFast

from tokensieve.corpus import Bools, Int64s
from tokensieve.errors import InputError

SPACE = "\u2581"
"""How SentencePiece writes a space in the name of a token."""

_BYTE = re.compile("<0x([0-9A-F]{2})>")
_NameBytes = Callable[[str], bytes]


@dataclass(frozen=True)
class Writing:
    """What the tokens of one tokenizer write."""

    pieces_V: list[bytes]
    """UTF-8, or a part of it; special tokens write their names."""
    length_V: Int64s
    """Bytes of each."""
    is_special_V: Bools
    """True where no text becomes the token: EOS, and what marks the turns of a conversation."""
    is_blank_V: Bools
    """True where it writes nothing but white space."""

    @classmethod
    def of(cls, tokenizer: PreTrainedTokenizerFast) -> "Writing":
        """Return what the tokens write.

        Raises InputError if the tokenizer puts its text together neither of bytes nor of pieces.
        """
        names = tokenizer.convert_ids_to_tokens(list(range(len(tokenizer))))
        added = tokenizer.added_tokens_decoder
        written = _name_bytes(tokenizer.backend_tokenizer)
        pieces_V = [
            b"" if name is None else name.encode() if id in added else written(name)
            for id, name in enumerate(names)
        ]
        special = {id for id, token in added.items() if token.special}
        special.update(tokenizer.all_special_ids)
        return cls(
            pieces_V=pieces_V,
            length_V=np.array([len(piece) for piece in pieces_V], dtype=np.int64),
            is_special_V=np.array([id in special for id in range(len(pieces_V))], dtype=bool),
            is_blank_V=np.array([not piece.strip() for piece in pieces_V], dtype=bool),
        )


def _name_bytes(backend: Tokenizer) -> _NameBytes:
    """Return how the name of a token says what it writes, as the decoder reads it."""
    decoder = json.loads(backend.to_str())["decoder"] or {}
    steps = decoder.get("decoders", [decoder])
    kinds = {step.get("type") for step in steps}
    if "ByteLevel" in kinds:
        return partial(_byte_level, _byte_level_alphabet())
    if "Metaspace" in kinds or any(step.get("pattern") == {"String": SPACE} for step in steps):
        return partial(_piece, "ByteFallback" in kinds)
    raise InputError(
        "policies: the tokenizer of the base writes its tokens neither as bytes nor as pieces with "
        "a mark for spaces, so it is not known which characters a token holds. Leave "
        "policies.protect and policies.protect_pattern out."
    )


def _byte_level(byte_of: dict[str, int], name: str) -> bytes:
    """Return the bytes of a name; one with other characters than the alphabet's is plain text."""
    found = [byte_of.get(character) for character in name]
    return bytes(byte for byte in found if byte is not None) if None not in found else name.encode()


def _piece(has_bytes: bool, name: str) -> bytes:
    """Return what a piece of SentencePiece writes; `has_bytes`: some of them are single bytes."""
    byte = _BYTE.fullmatch(name) if has_bytes else None
    return bytes([int(byte[1], 16)]) if byte else name.replace(SPACE, " ").encode()


def _byte_level_alphabet() -> dict[str, int]:
    """Return the byte that each character of a byte-level vocabulary stands for.

    Radford et al., GPT-2 (2019): bytes that are printable in Latin-1 are themselves, the others in
    order the characters from 256 on.
    """
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    alphabet = {chr(byte): byte for byte in printable}
    return alphabet | {chr(256 + n): byte for n, byte in enumerate(others)}
