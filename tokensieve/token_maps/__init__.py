"""Samples with everything that was decided on their tokens, for people to look at.

token_map.py   one sample of one round: its tokens, their numbers, and what was decided
texts.py       the text of a token as it may be shown
markup.py      a map, or two of the same sample, as HTML; the stylesheet and script of a page
terminal.py    the same as lines of text
"""

from tokensieve.token_maps.texts import visible_token
from tokensieve.token_maps.token_map import Outcome, TokenMap

__all__ = ["Outcome", "TokenMap", "visible_token"]
