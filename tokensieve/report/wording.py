"""Numbers as people read them. None, where nothing was measured, is a dash."""

from tokensieve.visible_text import visible

DASH = "\N{EN DASH}"
_MINUS = "\N{MINUS SIGN}"
_SPACE = "\N{NO-BREAK SPACE}"
MAX_NAME = 80
"""Characters of a name that comes from users' data."""


def number(value: float | None) -> str:
    """Return a count with thousands separators."""
    return DASH if value is None else f"{value:,}"


def percent(share: float | None) -> str:
    """Return a share from 0 to 1 in percent."""
    return DASH if share is None else f"{100 * share:.1f}{_SPACE}%"


def nats(value: float | None) -> str:
    """Return a number of nats without the unit. Its sign is told from a dash."""
    return DASH if value is None else f"{value:,.3f}".replace("-", _MINUS)


def seconds(value: float | None) -> str:
    """Return a time in seconds, minutes or hours."""
    if value is None:
        return DASH
    if value < 120:
        return f"{value:,.1f}{_SPACE}s"
    return f"{value / 60:,.1f}{_SPACE}min" if value < 7200 else f"{value / 3600:,.1f}{_SPACE}h"


def size(num_bytes: int) -> str:
    """Return a size in B, kB, MB or GB."""
    for unit, factor in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if num_bytes >= factor:
            return f"{num_bytes / factor:,.1f}{_SPACE}{unit}"
    return f"{num_bytes}{_SPACE}B"


def name(text: str) -> str:
    """Return a name from users' data: nothing in it is obeyed or unseen, and it is not long."""
    shown = visible(text[: MAX_NAME + 1])
    return shown if len(shown) <= MAX_NAME else f"{shown[: MAX_NAME - 1]}…"


def token(text: str | None) -> str:
    """Return a vocabulary token so that its spaces and line ends are seen."""
    return DASH if text is None else name(text.replace(" ", "␣").replace("\n", "⏎"))


def places(bin: int) -> str:
    """Return the places in a response that a bin holds: from 2^bin to 2^(bin + 1) - 1."""
    first, last = 2**bin, 2 ** (bin + 1) - 1
    return f"{first:,}" if first == last else f"{first:,}{DASH}{last:,}"


def signed_count(value: int) -> str:
    """Return a count with thousands separators and its sign."""
    return f"{value:+,}".replace("-", _MINUS)
