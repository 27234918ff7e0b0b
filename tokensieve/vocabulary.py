"""The tokens of a tokenizer as people read them."""

import pyarrow as pa
from transformers import PreTrainedTokenizerFast

VOCABULARY_SCHEMA = pa.schema(
    [
        pa.field("token_id", pa.int32(), nullable=False),
        pa.field("text", pa.string(), nullable=False),
        pa.field("special", pa.bool_(), nullable=False),
    ]
)


def vocabulary_table(tokenizer: PreTrainedTokenizerFast) -> pa.Table:
    """Return every token id with its text, in VOCABULARY_SCHEMA.

    A token that is only a part of a character has no text of its own and shows its vocabulary name.
    """
    ids = list(range(len(tokenizer)))
    names = tokenizer.convert_ids_to_tokens(ids)
    special = set(tokenizer.all_special_ids)
    texts = [_readable(tokenizer, id, name) for id, name in zip(ids, names, strict=True)]
    return pa.table([ids, texts, [id in special for id in ids]], schema=VOCABULARY_SCHEMA)


def _readable(tokenizer: PreTrainedTokenizerFast, id: int, name: str | None) -> str:
    if name is None:  # a hole in the vocabulary
        return f"<{id}>"
    if name.startswith(
        "\u2581"
    ):  # SentencePiece's mark for a space, which decoding one token drops
        return name.replace("\u2581", " ")
    text: str = tokenizer.decode([id])
    return name if not text or "\ufffd" in text else text
