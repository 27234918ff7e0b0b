"""Two maps of the same tokens: what one kept and the other did not."""

from typing import Literal

import numpy as np

from tokensieve.errors import SettingsError, shortened
from tokensieve.token_maps.token_map import TokenMap

Difference = Literal["prompt", "both", "left", "right", "neither"]
DIFFERENCES: dict[str, str] = {
    "both": "kept in both",
    "left": "only in A",
    "right": "only in B",
    "neither": "in neither",
}
"""What a response token is, in words: A is the left map, B the right one."""


def differences(left: TokenMap, right: TokenMap) -> tuple[Difference, ...]:
    """Return by whom each token was kept. Raises SettingsError if their tokens differ."""
    same = np.array_equal(left.token_ids_T, right.token_ids_T)
    if not same or not np.array_equal(left.response_T, right.response_T):
        raise SettingsError(
            f"{described(left)} and {described(right)}: sample {shortened(left.sample_id)} has "
            f"{len(left.texts)} tokens in one and {len(right.texts)} in the other, or they differ. "
            "Compare runs that use the same tokenizer and template."
        )
    kept_2T = np.stack([each.final_weight_T > 0 for each in (left, right)])
    names: tuple[Difference, ...] = ("neither", "left", "right", "both", "prompt")
    places_T = np.where(left.response_T, kept_2T[0] + 2 * kept_2T[1], len(names) - 1)
    return tuple(names[place] for place in places_T)


def described(map: TokenMap) -> str:
    """Return run and round of a map."""
    return f"run {shortened(map.run)}, round {map.round}"
