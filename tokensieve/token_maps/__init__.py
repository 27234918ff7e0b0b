"""Samples with everything that was decided on their tokens, for people to look at.

token_map.py   one sample of one round: its tokens, their numbers, and what was decided
texts.py       the text of a token as it may be shown
scales.py      the columns of maps, their units, and how strong the colour of a number is
facts.py       what is said of a whole map in a few words
diff.py        two maps of the same tokens: who kept which
markup.py      maps as HTML, with token_map.css and token_map.js
page_data.py   what the script is told of a map
terminal.py    maps as lines of text; ends.py is the table below them
"""

from tokensieve.token_maps.texts import visible_token
from tokensieve.token_maps.token_map import Outcome, TokenMap

__all__ = ["Outcome", "TokenMap", "visible_token"]
