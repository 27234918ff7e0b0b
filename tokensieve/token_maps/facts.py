"""What is said of a whole map in a few words."""

import numpy as np

from tokensieve.token_maps.scales import unit_of
from tokensieve.token_maps.token_map import TokenMap

_TOLD = ("influence", "base_nll", "reference_nll")
"""Columns whose mean is told where there is one."""


def mean_texts(map: TokenMap) -> list[str]:
    """Return the means over the response tokens that have a number, as `mean influence 0.5 nats`"""
    found = []
    for name in _TOLD:
        value_T = map.columns.get(name)
        if value_T is not None and not np.isnan(value_T).all():
            found.append(f"mean {name} {np.nanmean(value_T):.3g} {unit_of(name)}")
    return found


def share_text(num_kept: int, num_tokens: int) -> str:
    """Return a share in percent; a dash of nothing."""
    return f"{100 * num_kept / num_tokens:.1f} %" if num_tokens else "-"
