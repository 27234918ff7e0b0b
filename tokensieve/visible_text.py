"""Text of users' data as it may be shown: nothing in it is obeyed, and nothing is unseen."""

import re
import unicodedata
from itertools import groupby

MAX_MARKS = 6
"""Marks that a letter can carry, beyond what any language needs; more would pile up over others."""
_IGNORED = (
    "\N{COMBINING GRAPHEME JOINER}\N{HANGUL CHOSEONG FILLER}\N{HANGUL JUNGSEONG FILLER}"
    "\N{HANGUL FILLER}\N{HALFWIDTH HANGUL FILLER}\N{BRAILLE PATTERN BLANK}"
    "\u17b4\u17b5\u180b-\u180f\ufe00-\ufe0f\U000e0100-\U000e01ef"
)
"""What counts as printable and shows nothing: fillers and variation selectors."""
_UNSEEN = re.compile(f"[{_IGNORED}]")


def visible(text: str) -> str:
    """Return `text` on one line, with what cannot be seen, or would be obeyed, spelt out.

    A control is the picture that Unicode has of it; line separators, bidi controls, what has no
    width, lone surrogates and spaces other than the common one are ⟨U+202E⟩. Marks piled on a
    letter are counted.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(_run(list(same), is_mark) for is_mark, same in groupby(text, _is_mark))


def spelt_bytes(data: bytes) -> str:
    """Return bytes that are no whole character as they are shown: ⟨0xE2⟩⟨0x80⟩."""
    return "".join(f"⟨0x{byte:02X}⟩" for byte in data)


def spelt(character: str) -> str:
    """Return a character by its number: ⟨U+202E⟩."""
    return f"⟨U+{ord(character):04X}⟩"


def _is_mark(character: str) -> bool:
    return unicodedata.category(character) in ("Mn", "Me")


def _run(characters: list[str], are_marks: bool) -> str:
    num_more = len(characters) - MAX_MARKS if are_marks else 0
    if num_more <= 0:
        return "".join(map(_seen, characters))
    return "".join(map(_seen, characters[:MAX_MARKS])) + f"⟨{num_more} more marks⟩"


def _seen(character: str) -> str:
    if character.isprintable() and not _UNSEEN.match(character):
        return character
    if character < " ":
        return chr(0x2400 + ord(character))  # the Unicode picture of the control
    return spelt(character)
