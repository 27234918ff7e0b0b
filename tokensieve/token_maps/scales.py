"""How a column of numbers is coloured and told: its unit, and the range of its colours."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tokensieve.corpus import Float32s
from tokensieve.token_maps.token_map import TokenMap

COLOURED_SHARE = 0.98
"""Of a column's numbers, those that differ in colour; those beyond have that of the end."""
NUM_STEPS = 4
"""How many colours there are on either side of the middle."""
_FIRST = ("influence", "score")
_IN_NATS = ("nll", "entropy", "influence")


@dataclass(frozen=True)
class Scale:
    """What the colours of a column stand for."""

    name: str
    unit: str
    diverging: bool
    """The column has both signs: the colours go from -reach to reach. Else from middle upwards."""
    middle: float
    """What has no colour."""
    reach: float
    """How far from the middle the strongest colour is; above 0."""

    def step(self, value: float) -> int:
        """Return how strong the colour of a number is: from -4, or 0, to 4; 0 of NaN."""
        if math.isnan(value):
            return 0
        step = round(NUM_STEPS * (value - self.middle) / self.reach)
        return max(-NUM_STEPS if self.diverging else 0, min(NUM_STEPS, step))


def unit_of(column: str) -> str:
    """Return the unit of a column's numbers; empty if they have none, or only the method knows."""
    return "nats" if column.endswith(_IN_NATS) else ""


def column_names(maps: Sequence[TokenMap]) -> list[str]:
    """Return every column that a map has, each once, in the order in which they are told."""
    names = {name: None for map in maps for name in map.columns}
    return [*(name for name in _FIRST if name in names), *(n for n in names if n not in _FIRST)]


def scales_of(maps: Sequence[TokenMap]) -> list[Scale]:
    """Return the scale of each column that has a number, over all maps together."""
    found = []
    for name in column_names(maps):
        values_V = np.concatenate([map.columns[name] for map in maps if name in map.columns])
        values_V = values_V[np.isfinite(values_V)]
        if len(values_V):
            found.append(_scale(name, values_V))
    return found


def _scale(name: str, values_V: Float32s) -> Scale:
    beyond = (1 - COLOURED_SHARE) / 2
    low, high = (float(each) for each in np.quantile(values_V, [beyond, 1 - beyond]))
    if low < 0 < high:
        return Scale(name, unit_of(name), True, 0.0, max(-low, high))
    return Scale(name, unit_of(name), False, low, (high - low) or 1.0)
