"""Maps as HTML: fragments for a page that holds STYLE in its <style> and SCRIPT in its <script>.

Without the script the text can be read, and what was dropped is struck out. What stands in the
fragments is text and data; nothing in them is run, and no attribute is of users' data. A page may
therefore forbid everything but the hashes of STYLE and SCRIPT.
"""

from base64 import b64encode
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from hashlib import sha256
from importlib.resources import files
from itertools import groupby
from typing import Any

from jinja2.utils import htmlsafe_json_dumps
from markupsafe import Markup

from tokensieve.token_maps.diff import differences
from tokensieve.token_maps.facts import diff_facts, map_facts, round_name
from tokensieve.token_maps.page_data import diff_data, map_data
from tokensieve.token_maps.scales import scales_of
from tokensieve.token_maps.texts import is_right_to_left
from tokensieve.token_maps.token_map import TokenMap
from tokensieve.visible_text import visible

STYLE = files(__package__).joinpath("token_map.css").read_text(encoding="utf-8")
SCRIPT = files(__package__).joinpath("token_map.js").read_text(encoding="utf-8")

_MAP = Markup(
    '<article class="{kind}">\n<h3><bdi>{id}</bdi></h3>\n<ul class="token-facts">{facts}</ul>\n'
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
    marks = _joined(_item(mark, mark) for mark in _MARKS)
    scales = [asdict(each) | {"name": visible(each.name)} for each in scales_of(maps)]
    return _CONTROLS.format(marks=marks, scales=_json(scales))


def map_fragment(map: TokenMap) -> Markup:
    """Return one sample with its tokens."""
    facts = [_item(fact) for fact in map_facts(map)]
    return _fragment(map, "token-map", facts, map.outcomes, map_data(map))


def diff_fragment(left: TokenMap, right: TokenMap) -> Markup:
    """Return what two rounds, methods or runs decided on the tokens of the same sample.

    Raises SettingsError if their tokens differ.
    """
    found = differences(left, right)
    rounds = zip(_LABELS, (left, right), strict=True)
    facts = [
        *(_item(f"{label}: {round_name(map)}") for label, map in rounds),
        *(_item(fact, difference) for difference, fact in diff_facts(found).items()),
    ]
    data = diff_data(left, right, found, _LABELS)
    return _fragment(left, "token-map token-diff", facts, found, data)


def _fragment(
    map: TokenMap,
    kind: str,
    facts: Iterable[Markup],
    outcomes: Sequence[str],
    data: dict[str, Any],
) -> Markup:
    return _MAP.format(
        kind=kind,
        id=visible(map.sample_id),
        facts=_joined(facts),
        direction="rtl" if is_right_to_left(_answer(map)) else "ltr",
        text=_text(map.texts, outcomes),
        data=_json(data),
    )


def _answer(map: TokenMap) -> str:
    """Return the text of the response: what stands around it is the template's."""
    texts = zip(map.texts, map.response_T, strict=True)
    return "".join(text for text, is_response in texts if is_response)


def _item(text: str, kind: str = "") -> Markup:
    """Return an item of a list; `kind`: what its text looks like."""
    return Markup('<li><bdi class="{}">{}</bdi></li>').format(kind, text)


def _text(texts: Sequence[str], outcomes: Sequence[str]) -> Markup:
    """Return the text as it is read without the script: what became the same is together."""
    part, found = Markup('<bdi class="{}">{}</bdi>'), []
    pairs = zip(outcomes, texts, strict=True)
    for outcome, same in groupby(pairs, key=lambda pair: pair[0]):
        found.append(part.format(outcome, "".join(text for _, text in same)))
    return _joined(found)


def _json(value: object) -> Markup:
    return htmlsafe_json_dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def _joined(parts: Iterable[Markup]) -> Markup:
    return Markup("").join(parts)
