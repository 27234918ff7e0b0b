"""The text of a token as it may be shown."""

from tokensieve.visible_text import visible


def visible_token(text: str) -> str:
    """Return the token's text with nothing unseen: as `visible`, but a newline is ⏎ and itself."""
    return "⏎\n".join(visible(line) for line in text.split("\n"))
