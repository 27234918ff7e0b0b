"""Maps as lines of text."""

from tokensieve.token_maps.token_map import TokenMap


def map_lines(map: TokenMap, column: str, is_coloured: bool) -> list[str]:
    """Return one sample as lines: its header, its text, and the tokens of most and least `column`.

    Dropped tokens stand in [-...-] unless there are colours.
    """
    return "".join(map.texts).split("\n")


def diff_lines(left: TokenMap, right: TokenMap, is_coloured: bool) -> list[str]:
    """Return what two rounds, methods or runs decided on the tokens of the same sample.

    Raises SettingsError if their tokens differ.
    """
    return map_lines(left, "score", is_coloured)
