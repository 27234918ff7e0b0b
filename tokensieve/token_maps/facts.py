"""What is said of a whole map, or of two, in a few words."""

from collections import Counter
from collections.abc import Sequence

import numpy as np

from tokensieve.token_maps.diff import DIFFERENCES, Difference
from tokensieve.token_maps.scales import unit_of
from tokensieve.token_maps.token_map import TokenMap
from tokensieve.visible_text import visible

_TOLD = ("influence", "base_nll", "reference_nll")
"""Columns whose mean is told where there is one."""


def map_facts(map: TokenMap) -> list[str]:
    """Return where a map is from, what became of its tokens, and the means of its columns."""
    counts = Counter(map.outcomes)
    num_response = len(map.texts) - counts["prompt"]
    kept = f"{counts['kept']:,} kept ({_percent(counts['kept'], num_response)})"
    rest = [f"{counts[each]:,} {each}" for each in ("unlearned", "unscorable") if counts[each]]
    return [
        f"source {visible(map.source)}",
        round_name(map),
        f"{len(map.texts):,} tokens, {num_response:,} in the response",
        ", ".join([kept, *rest]),
        *_means(map),
    ]


def diff_facts(found: Sequence[Difference]) -> dict[str, str]:
    """Return how many tokens were kept by whom."""
    counts = Counter[str](found)
    return {each: f"{text}: {counts[each]:,}" for each, text in DIFFERENCES.items()}


def round_name(map: TokenMap) -> str:
    """Return run and round of a map, on one line."""
    return f"{visible(map.run)}, round {map.round}"


def _means(map: TokenMap) -> list[str]:
    """Return means over the response tokens that have a number, as `mean influence 0.5 nats`."""
    found = []
    for name in _TOLD:
        value_T = map.columns.get(name)
        if value_T is not None and not np.isnan(value_T).all():
            found.append(f"mean {name} {np.nanmean(value_T):.3g} {unit_of(name)}")
    return found


def _percent(num_kept: int, num_tokens: int) -> str:
    return f"{100 * num_kept / num_tokens:.1f} %" if num_tokens else "-"
