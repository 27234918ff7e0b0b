"""What the script of a page is told of a map: short, and no more exact than what is shown."""

import math
from collections.abc import Sequence
from itertools import groupby
from typing import Any

import numpy as np

from tokensieve.corpus import Float32s
from tokensieve.token_maps.scales import column_names, unit_of
from tokensieve.token_maps.token_map import TokenMap
from tokensieve.visible_text import visible

DIGITS = 4
"""Significant digits of a number that is shown."""


def map_data(map: TokenMap) -> dict[str, Any]:
    """Return a map as JSON: texts, ids and turns of its tokens, and what one side says of them."""
    sides = [_side(map, "", column_names([map]))]
    return _tokens(map) | {"outcomes": _coded(map.outcomes), "sides": sides}


def diff_data(
    left: TokenMap, right: TokenMap, outcomes: Sequence[str], labels: Sequence[str]
) -> dict[str, Any]:
    """Return two maps of the same tokens as JSON; `outcomes`: by whom each token was kept.

    Numbers that both sides have alike stand on the left side only: most of them, where both used
    the same models.
    """
    names = column_names([left, right])
    first, second = (
        _side(map, label, names) for map, label in zip((left, right), labels, strict=True)
    )
    known = first["columns"]
    second["columns"] = [each[:2] if each in known else each for each in second["columns"]]
    return _tokens(left) | {"outcomes": _coded(outcomes), "sides": [first, second]}


def _side(map: TokenMap, label: str, names: Sequence[str]) -> dict[str, Any]:
    """Return what is said of the response tokens, in their order; null where there is nothing."""
    weights = {"weight": map.weight_T}
    if map.decided_T is not None:
        weights["decided"] = map.decided_T
    nothing_T = np.full(len(map.texts), np.nan, dtype=np.float32)
    columns = weights | {name: map.columns.get(name, nothing_T) for name in names}
    return {
        "label": label,
        "outcomes": _coded(map.outcomes),
        "columns": [
            [visible(name), unit_of(name), _shown(value_T[map.response_T])]
            for name, value_T in columns.items()
        ],
        "words": [[visible(name), *_coded(_said(words, map))] for name, words in map.words.items()],
    }


def _tokens(map: TokenMap) -> dict[str, Any]:
    turns = [[turn, len(list(same))] for turn, same in groupby(map.turn_T.tolist())]
    return {"texts": map.texts, "ids": map.token_ids_T.tolist(), "turns": turns}


def _shown(value_R: Float32s) -> list[float | int | None]:
    return [_rounded(value) if math.isfinite(value) else None for value in value_R.tolist()]


def _rounded(value: float) -> float | int:
    rounded = float(f"{value:.{DIGITS}g}")
    return int(rounded) if rounded.is_integer() else rounded


def _said(words: Sequence[str | None], map: TokenMap) -> list[str]:
    """Return the words of the response tokens; empty where nothing was said."""
    return [visible(words[place] or "") for place in np.flatnonzero(map.response_T).tolist()]


def _coded(words: Sequence[str]) -> tuple[list[str], list[int]]:
    """Return the words that occur, and the place among them of each."""
    names = sorted(set(words))
    place_of = {word: place for place, word in enumerate(names)}
    return names, [place_of[word] for word in words]
