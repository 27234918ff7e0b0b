"""The text of a token as it may be shown."""

import re
import unicodedata

from tokensieve.visible_text import visible

_SPELT = re.compile("⟨[^⟩]*⟩")
_STRONG = {"L": False, "R": True, "AL": True}
"""Classes of characters that have a direction, and whether it is from right to left."""


def visible_token(text: str) -> str:
    """Return the token's text with nothing unseen: as `visible`, but a newline is ⏎ and itself, and
    a tab is ⇥, which more fonts have.
    """
    return "⏎\n".join(visible(line.replace("\t", "⇥")) for line in text.split("\n"))


def is_right_to_left(text: str) -> bool:
    """Return whether the first letter of the text belongs to a script from right to left.

    Letters of what is spelt out, as in ⟨0xE2⟩, are none.
    """
    classes = (unicodedata.bidirectional(character) for character in _SPELT.sub("", text))
    return next((_STRONG[each] for each in classes if each in _STRONG), False)
