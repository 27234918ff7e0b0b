"""The tokens of a map that have the lowest and the highest numbers, as a table."""

from collections.abc import Sequence

import numpy as np

from tokensieve.token_maps.scales import column_names, unit_of
from tokensieve.token_maps.token_map import TokenMap
from tokensieve.visible_text import visible

NUM_ENDS = 8
"""How many tokens are told of either end."""
_MAX_TEXT = 24


def end_lines(map: TokenMap, column: str) -> list[str]:
    """Return the tokens with the lowest numbers of the column and those with the highest, with
    everything that is said of them.
    """
    value_T = map.columns[column]
    order = np.argsort(value_T, kind="stable")[: np.count_nonzero(~np.isnan(value_T))].tolist()
    if not order:
        return [f"no token has a number in {visible(column)}"]
    heading = visible(f"{column} ({unit_of(column)})" if unit_of(column) else column)
    if len(order) <= 2 * NUM_ENDS:
        return [f"{heading}, lowest first", *_table(map, column, order)]
    lowest, highest = order[:NUM_ENDS], order[: -NUM_ENDS - 1 : -1]
    return [
        f"lowest {heading}",
        *_table(map, column, lowest),
        "",
        f"highest {heading}",
        *_table(map, column, highest),
    ]


def _table(map: TokenMap, column: str, places: Sequence[int]) -> list[str]:
    """Return a row for each of the tokens, after a heading; numbers stand to the right."""
    names = [column, *(name for name in column_names([map]) if name != column)]
    columns, words = ([visible(each) for each in some] for some in (names, map.words))
    rows = [["position", *columns, "token", "outcome", *words]]
    rows += [_row(map, names, place) for place in places]
    widths = [max(len(cell) for cell in cells) for cells in zip(*rows, strict=True)]
    forms = [">"] * (1 + len(names)) + ["<"] * (2 + len(map.words))
    return [
        "  ".join(
            f"{cell:{form}{width}}" for cell, form, width in zip(row, forms, widths, strict=True)
        ).rstrip()
        for row in rows
    ]


def _row(map: TokenMap, names: Sequence[str], place: int) -> list[str]:
    text = map.texts[place].replace("\n", "")
    shown = text if len(text) <= _MAX_TEXT else f"{text[: _MAX_TEXT - 1]}…"
    numbers = [map.columns[name][place] for name in names]
    return [
        str(place),
        *("-" if np.isnan(number) else f"{number:.4g}" for number in numbers),
        f"'{shown}'",
        map.outcomes[place],
        *(visible(words[place] or "-") for words in map.words.values()),
    ]
