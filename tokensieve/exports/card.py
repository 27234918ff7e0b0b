"""The card of an export: what was cleaned, how, and what became of every token."""

from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Any

from tokensieve import __version__
from tokensieve.exports.format import Destination, Format
from tokensieve.exports.origin import Origin
from tokensieve.exports.tally import Tally

CARD_VERSION = 2
"""Raised when cards of the same export change."""

_PACKAGES = ("pyarrow", "datasets", "tokenizers", "transformers", "numpy")


def card_of(
    id: str,
    format: Format,
    to: Destination,
    origin: Origin,
    counted: tuple[Tally, Mapping[str, int]],
    files: Sequence[Mapping[str, Any]],
) -> dict[str, Any]:
    """Return the card as JSON values. `counted`: what was read, and what was written of it."""
    tally, written = counted
    base = to.base
    return {
        "export": {
            "id": id,
            "format": format.name,
            "version": format.version,
            "trainers": format.trainers,
            "data": format.table,
            "recipe": sorted(format.recipe(to)),
            "base": base and {"companions": base.companions},
        },
        **origin.described(),
        "read": dict(tally.counts),
        "written": dict(written),
        "weights": weight_lines(format, tally.counts, origin),
        "special_tokens": tally.special_rows(),
        "files": list(files),
        "versions": {"tokensieve": __version__, **{name: version(name) for name in _PACKAGES}},
    }


def weight_lines(format: Format, read: Mapping[str, int], origin: Origin) -> list[str]:
    """Return what becomes of weights that are not 0 or 1, a sentence each."""
    unlearned, fractional = read["unlearned_tokens"], read["fractional_tokens"]
    if format.signed:
        lines = ["Every token has the weight that the selection gave it."]
    else:
        lines = ["A token is trained on, fully, if its weight is above 0."]
        if fractional:
            lines.append(f"{fractional:,} tokens of other weights above 0 count as 1 here.")
        if unlearned:
            lines.append(f"{unlearned:,} tokens that were to be unlearned are only left out.")
    if origin.method.reweigh:
        lines.append(
            f"The method {origin.method.name} weighs the tokens anew at each step of a training; "
            "that is not in the data."
        )
    return lines
