"""Maps as HTML: fragments for a page that holds STYLE in its <style> and SCRIPT in its <script>.

Without the script the text can be read, and what was dropped is struck out. What stands in the
fragments is text and data; nothing in them is run, and no attribute is of users' data. A page may
therefore forbid everything but the hashes of STYLE and SCRIPT.
"""

from base64 import b64encode
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from hashlib import sha256
from importlib.resources import files
from itertools import groupby
from typing import Any

from jinja2.utils import htmlsafe_json_dumps
from markupsafe import Markup

from tokensieve.token_maps.diff import differences
from tokensieve.token_maps.facts import mean_texts, share_text
from tokensieve.token_maps.page_data import diff_data, map_data
from tokensieve.token_maps.scales import scales_of
from tokensieve.token_maps.texts import is_right_to_left
from tokensieve.token_maps.token_map import TokenMap
from tokensieve.visible_text import visible

STYLE = files(__package__).joinpath("token_map.css").read_text(encoding="utf-8")
SCRIPT = files(__package__).joinpath("token_map.js").read_text(encoding="utf-8")

_MAP = Markup(
    '<article class="token-map">\n<h3><bdi>{id}</bdi></h3>\n<ul class="token-facts">{facts}</ul>\n'
    '<div class="tokens" role="group" aria-label="tokens" dir="{direction}">{text}</div>\n'
    '<script type="application/json">{data}</script>\n</article>\n'
)
_CONTROLS = Markup(
    '<div class="token-controls">\n<label hidden>colour <select></select></label>\n'
    '<ul class="token-scale"></ul>\n<ul class="token-marks">{marks}</ul>\n'
    '<script type="application/json">{scales}</script>\n</div>\n'
)
_MARKS = ("kept", "dropped", "unlearned", "unscorable", "prompt")
_LABELS = ("A", "B")


def content_hash(text: str) -> str:
    """Return what a content security policy calls a <style> or <script> of this text."""
    return f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'"


def page_controls(maps: Sequence[TokenMap]) -> Markup:
    """Return what a page has once: the choice of the column that colours its maps, and a legend.

    The scales of the colours are those of all `maps` together.
    """
    marks = _joined(Markup('<li><bdi class="{0}">{0}</bdi></li>').format(mark) for mark in _MARKS)
    return _CONTROLS.format(marks=marks, scales=_json([asdict(each) for each in scales_of(maps)]))


def map_fragment(map: TokenMap) -> Markup:
    """Return one sample with its tokens."""
    return _fragment(map, _facts(map), map.outcomes, map_data(map))


def diff_fragment(left: TokenMap, right: TokenMap) -> Markup:
    """Return what two rounds, methods or runs decided on the tokens of the same sample.

    Raises SettingsError if their tokens differ.
    """
    found = differences(left, right)
    counts = Counter(found)
    facts = [
        *(f"{label}: {_round(map)}" for label, map in zip(_LABELS, (left, right), strict=True)),
        f"kept in both: {counts['both']}",
        f"only in A: {counts['left']}",
        f"only in B: {counts['right']}",
        f"in neither: {counts['neither']}",
    ]
    data = diff_data(left, right, found, _LABELS)
    return _fragment(left, facts, found, data)


def _fragment(
    map: TokenMap, facts: Iterable[str], outcomes: Sequence[str], data: dict[str, Any]
) -> Markup:
    item = Markup("<li><bdi>{}</bdi></li>")
    return _MAP.format(
        id=visible(map.sample_id),
        facts=_joined(item.format(fact) for fact in facts),
        direction="rtl" if is_right_to_left("".join(map.texts)) else "ltr",
        text=_text(map.texts, outcomes),
        data=_json(data),
    )


def _facts(map: TokenMap) -> list[str]:
    counts = Counter(map.outcomes)
    num_response = len(map.texts) - counts["prompt"]
    facts = [
        f"source {visible(map.source)}",
        _round(map),
        f"{len(map.texts):,} tokens, {num_response:,} in the response",
        f"{counts['kept']:,} kept ({share_text(counts['kept'], num_response)})",
    ]
    return facts + mean_texts(map)


def _text(texts: Sequence[str], outcomes: Sequence[str]) -> Markup:
    """Return the text as it is read without the script: what became the same is together."""
    part, found = Markup('<bdi class="{}">{}</bdi>'), []
    pairs = zip(outcomes, texts, strict=True)
    for outcome, same in groupby(pairs, key=lambda pair: pair[0]):
        found.append(part.format(outcome, "".join(text for _, text in same)))
    return _joined(found)


def _round(map: TokenMap) -> str:
    return f"{visible(map.run)}, round {map.round}"


def _json(value: object) -> Markup:
    return htmlsafe_json_dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def _joined(parts: Iterable[Markup]) -> Markup:
    return Markup("").join(parts)
