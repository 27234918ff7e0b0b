"""The formats by name."""

from difflib import get_close_matches

from tokensieve.errors import SettingsError, shortened
from tokensieve.exports.axolotl import AXOLOTL
from tokensieve.exports.format import Format
from tokensieve.exports.json_lines import JSON_LINES
from tokensieve.exports.levanter import LEVANTER
from tokensieve.exports.llama_factory import LLAMA_FACTORY
from tokensieve.exports.ms_swift import MS_SWIFT
from tokensieve.exports.olmo import OLMO
from tokensieve.exports.preshifted import PRESHIFTED
from tokensieve.exports.trl import TRL

FORMATS = {
    format.name: format
    for format in (
        TRL,
        AXOLOTL,
        LLAMA_FACTORY,
        OLMO,
        LEVANTER,
        PRESHIFTED,
        MS_SWIFT,
        JSON_LINES,
    )
}


def find_format(name: str) -> Format:
    """Return the format called `name`; raise SettingsError with the nearest if there is none."""
    if name not in FORMATS:
        near = get_close_matches(name, FORMATS, n=1)
        hint = f"Did you mean {near[0]}?" if near else f"There are: {', '.join(FORMATS)}."
        raise SettingsError(f"--to: there is no format {shortened(name)}. {hint}")
    return FORMATS[name]
