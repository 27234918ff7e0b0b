"""Maps as lines of text, for a terminal or a file."""

from collections.abc import Sequence
from itertools import groupby
from operator import itemgetter

from tokensieve.errors import SettingsError, shortened
from tokensieve.token_maps.diff import DIFFERENCES, differences
from tokensieve.token_maps.ends import end_lines
from tokensieve.token_maps.facts import diff_facts, map_facts, round_name
from tokensieve.token_maps.scales import NUM_STEPS, column_names, scales_of
from tokensieve.token_maps.token_map import TokenMap
from tokensieve.visible_text import visible

_MARKS = {
    "dropped": ("[-", "-]"),
    "unlearned": ("{-", "-}"),
    "unscorable": ("(?", "?)"),
    "left": ("[-", "-]"),
    "right": ("{+", "+}"),
    "neither": ("(-", "-)"),
}
"""What stands around tokens of which not the same is to be said as of most."""

# Parameters of SGR (ECMA-48, 8.3.117). The colours are of the 256 that most terminals have: black
# on light ones, so that they can be read on any ground.
_STYLES = {
    "prompt": "2",
    "dropped": "9",
    "unlearned": "4;9",
    "unscorable": "4;2",
    "left": "4;38;5;16;48;5;117",
    "right": "21;38;5;16;48;5;215",
    "neither": "9",
}
_STEPS = {
    step: f"38;5;16;48;5;{colour}"
    for step, colour in {-4: 208, -3: 215, -2: 223, -1: 230, 1: 195, 2: 153, 3: 117, 4: 75}.items()
}


def map_lines(map: TokenMap, column: str | None, is_coloured: bool) -> list[str]:
    """Return one sample as lines: its facts, its text, and the tokens of most and least `column`.

    Colours are those of the column; without them what was dropped stands in [-...-]. Without a
    column it is the first that the sample has. Raises SettingsError for one that it does not have.
    """
    shown = _chosen_column(map, column)
    return [
        visible(map.sample_id),
        *map_facts(map),
        "",
        *_text(map.texts, map.outcomes, _steps(map, shown), is_coloured),
        "",
        *_legend(map.outcomes, is_coloured),
        *(_colours(map, shown) if is_coloured else []),
        *end_lines(map, shown),
    ]


def diff_lines(left: TokenMap, right: TokenMap, is_coloured: bool) -> list[str]:
    """Return what two rounds, methods or runs decided on the tokens of the same sample.

    Raises SettingsError if their tokens differ.
    """
    found = differences(left, right)
    return [
        visible(left.sample_id),
        *(f"{label}: {round_name(map)}" for label, map in (("A", left), ("B", right))),
        ", ".join(diff_facts(found).values()),
        "",
        *_text(left.texts, found, [0] * len(found), is_coloured),
        "",
        *_legend(found, is_coloured),
    ]


def _chosen_column(map: TokenMap, column: str | None) -> str:
    """Return the column, or the first that the map has; raise SettingsError if it has no such."""
    names = column_names([map])
    if column is not None and column not in names:
        raise SettingsError(
            f"--column: {shortened(column)} is not a column of {round_name(map)}. It has "
            f"{', '.join(names)}."
        )
    return column or names[0]


def _colours(map: TokenMap, column: str) -> list[str]:
    """Return a line of the colours, each with a number that has it; nothing without a number."""
    scale = next((each for each in scales_of([map]) if each.name == column), None)
    if scale is None:
        return []
    steps = [step for step in _STEPS if step > 0 or scale.diverging]
    values = [f"{scale.middle + scale.reach * step / NUM_STEPS:.2g}" for step in steps]
    shown = [f"\x1b[{_STEPS[s]}m {value} \x1b[0m" for s, value in zip(steps, values, strict=True)]
    return [" ".join([*shown, visible(column), scale.unit]).rstrip(), ""]


def _steps(map: TokenMap, column: str) -> list[int]:
    """Return how strong the colour of each token is."""
    scales = {scale.name: scale for scale in scales_of([map])}
    if column not in scales:
        return [0] * len(map.texts)
    return [scales[column].step(value) for value in map.columns[column].tolist()]


def _text(
    texts: Sequence[str], outcomes: Sequence[str], steps: Sequence[int], is_coloured: bool
) -> list[str]:
    """Return the lines of the text; what looks the same is together."""
    looks = zip(outcomes, steps if is_coloured else [0] * len(steps), strict=True)
    found = []
    for (outcome, step), same in groupby(zip(looks, texts, strict=True), key=itemgetter(0)):
        found.append(_shown("".join(text for _, text in same), outcome, step, is_coloured))
    return "".join(found).split("\n")


def _shown(text: str, outcome: str, step: int, is_coloured: bool) -> str:
    """Return text that looks like what became of it. A style ends with its line."""
    if not is_coloured:
        before, after = _MARKS.get(outcome, ("", ""))
        return f"{before}{text}{after}"
    style = ";".join(filter(None, [_STYLES.get(outcome), _STEPS.get(step)]))
    lines = text.split("\n")
    return "\n".join(f"\x1b[{style}m{line}\x1b[0m" if style and line else line for line in lines)


def _legend(outcomes: Sequence[str], is_coloured: bool) -> list[str]:
    """Return a line of the marks that the text has; nothing if it has none."""
    marks = [each for each in _MARKS if each in outcomes]
    shown = [_shown(DIFFERENCES.get(each, each), each, 0, is_coloured) for each in marks]
    return [" ".join(shown), ""] if shown else []
