"""What the tokens of one tokenizer write, as policies look at it.

Shapes: V = tokens of the vocabulary.
"""

from dataclasses import dataclass

import numpy as np
from transformers import PreTrainedTokenizerFast

from tokensieve.corpus import Bools, Int64s
from tokensieve.token_bytes import token_bytes


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
        """Return what the tokens write."""
        pieces_V = [piece or b"" for piece in token_bytes(tokenizer)]
        special = {id for id, token in tokenizer.added_tokens_decoder.items() if token.special}
        special.update(tokenizer.all_special_ids)
        return cls(
            pieces_V=pieces_V,
            length_V=np.array([len(piece) for piece in pieces_V], dtype=np.int64),
            is_special_V=np.array([id in special for id in range(len(pieces_V))], dtype=bool),
            is_blank_V=np.array([not piece.strip() for piece in pieces_V], dtype=bool),
        )
