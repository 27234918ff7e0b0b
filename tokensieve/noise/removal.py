"""How much of the planted noise a selection removed, and what it cost."""

from dataclasses import dataclass

from tokensieve.corpus import Bools, Float32s, Int8s
from tokensieve.noise.planting import KINDS


@dataclass(frozen=True)
class Removal:
    """Shares from 0 to 1, of response tokens."""

    by_kind: dict[str, float]
    """Of the noise tokens of each kind that were dropped."""
    noise: float
    """Of all noise tokens that were dropped."""
    clean: float
    """Of the clean tokens that were dropped with them."""


def removal(label_T: Int8s, response_T: Bools, weight_T: Float32s) -> Removal:
    """Return what was removed. A token is noise if its label, as in `labels.py`, is not 0."""
    dropped_T = response_T & (weight_T == 0)
    kinds_T = {kind: response_T & (label_T == 1 + n) for n, kind in enumerate(KINDS)}
    return Removal(
        by_kind={kind: _share(dropped_T, of_T) for kind, of_T in kinds_T.items()},
        noise=_share(dropped_T, response_T & (label_T > 0)),
        clean=_share(dropped_T, response_T & (label_T == 0)),
    )


def _share(dropped_T: Bools, of_T: Bools) -> float:
    """Return the share of `of_T` that was dropped; NaN if there is none."""
    return float((dropped_T & of_T).sum() / of_T.sum()) if of_T.any() else float("nan")
