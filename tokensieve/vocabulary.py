"""The tokens of a tokenizer as people read them."""

import re

import pyarrow as pa
from transformers import PreTrainedTokenizerFast

from tokensieve.token_bytes import token_bytes
from tokensieve.visible_text import spelt_bytes

VOCABULARY_SCHEMA = pa.schema(
    [
        pa.field("token_id", pa.int32(), nullable=False),
        pa.field("text", pa.string(), nullable=False),
        pa.field("special", pa.bool_(), nullable=False),
    ]
)

_NO_CHARACTER = re.compile("[\udc80-\udcff]")
"""What Python makes of bytes that are no character."""


def vocabulary_table(tokenizer: PreTrainedTokenizerFast) -> pa.Table:
    """Return every token id with its text, in VOCABULARY_SCHEMA.

    The texts of a sample's tokens, one after another, are its text, with a space before it where
    the tokenizer works with words. Bytes that are only a part of a character are spelt out, as in
    ⟨0xE2⟩⟨0x80⟩.
    """
    ids = list(range(len(tokenizer)))
    names, special = tokenizer.convert_ids_to_tokens(ids), set(tokenizer.all_special_ids)
    written = zip(ids, names, token_bytes(tokenizer), strict=True)
    texts = [_decoded(data) or name or f"<{id}>" for id, name, data in written]
    return pa.table([ids, texts, [id in special for id in ids]], schema=VOCABULARY_SCHEMA)


def _decoded(data: bytes | None) -> str:
    """Return bytes as text; empty if there is none."""
    text = (data or b"").decode("utf-8", "surrogateescape")
    return _NO_CHARACTER.sub(lambda found: spelt_bytes(bytes([ord(found[0]) - 0xDC00])), text)
