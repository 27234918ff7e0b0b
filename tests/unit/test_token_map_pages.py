"""Maps as HTML: what a parser finds in them, and how they answer in a browser."""

import json
import re
import time
from html.parser import HTMLParser

import pytest
from markupsafe import Markup

from tests.browser import CHROMIUM, browser
from tests.tiny_maps import EVERY_KIND, HOSTILE, NAN, OTHER, map_of
from tokensieve.errors import SettingsError
from tokensieve.token_maps.markup import (
    SCRIPT,
    STYLE,
    content_hash,
    diff_fragment,
    map_fragment,
    page_controls,
)

UNSEEN = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069]")
MINUS, NOTHING = "\N{MINUS SIGN}", "\N{EN DASH}"
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium")
BYTES = ("⟨0xC3⟩", "⟨0xA9⟩⟨0xE2⟩", "⟨0x80⟩", "⟨0x9C⟩", "⟨0xE2⟩", "⟨0x80⟩", "⟨0xAE⟩")
"""The bytes of a letter, a quotation mark and a control that turns the direction round."""
HOSTILE_MAP = map_of(
    HOSTILE,
    [NAN, *[0.0] * 3, *[1.0] * 3],
    {HOSTILE[1]: [0.5] * 7},
    {"reason": HOSTILE, HOSTILE[2]: [None] * 7},
    sample_id=HOSTILE[0],
    source=HOSTILE[3],
    run=HOSTILE[2],
)


def page_of(*fragments):
    """Return a page that allows nothing but our stylesheet and our script."""
    policy = (
        f"default-src 'none'; style-src {content_hash(STYLE)}; script-src {content_hash(SCRIPT)}"
    )
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>maps</title>'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}"><style>{STYLE}</style>'
        f"<body>{Markup('').join(fragments)}<script>{SCRIPT}</script></body></html>"
    )


class Parsed(HTMLParser):
    """What a parser makes of a page."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.attributes, self.texts = [], [], []
        self.feed(str(page))

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.attributes += attributes

    def handle_data(self, data):
        self.texts.append(data)

    @property
    def data(self):
        """Return what the script is told."""
        [data] = [text for text in self.texts if text.startswith("{")]
        return json.loads(data)


# --- as a parser takes it apart


def test_a_map_is_its_text_and_its_data():
    parsed = Parsed(map_fragment(EVERY_KIND))
    data = parsed.data

    assert "".join(parsed.texts).split("\n{")[0].endswith("Why?⏎\nThe sum is 7.⏎\nEnd")
    assert data["texts"] == ["Why", "?⏎\n", "The", " sum", " is", " 7", ".⏎\n", "End"]
    assert (data["ids"], data["turns"]) == ([10, 11, 12, 13, 14, 15, 16, 17], [[0, 8]])
    [side] = data["sides"]
    assert side["columns"] == [
        ["weight", "", [1, 0, 0, -0.5, 1, 0]],
        ["influence", "nats", [2, -1, 0.1235, None, 4, None]],
        ["score", "", [2, -1, 0.125, -3, 4, None]],
        ["base_nll", "nats", [3, 1, 2, None, 4.5, None]],
    ]
    assert side["words"] == [["reason", ["", "noise", "too plain"], [0, 2, 0, 1, 0, 0]]]


def test_without_the_script_what_was_dropped_is_together_and_has_its_look():
    fragment = str(map_fragment(EVERY_KIND))

    assert '<bdi class="prompt">Why?⏎\n</bdi><bdi class="kept">The</bdi>' in fragment
    assert '<bdi class="dropped"> sum is</bdi><bdi class="unlearned"> 7</bdi>' in fragment


def test_what_is_said_of_a_map_stands_above_it():
    texts = Parsed(map_fragment(EVERY_KIND)).texts

    assert [text for text in texts if text.strip()][:7] == [
        "s-1",
        "source wiki",
        "rho-1, round 0",
        "8 tokens, 6 in the response",
        "2 kept (33.3 %), 1 unlearned, 1 unscorable",
        "mean influence 1.28 nats",
        "mean base_nll 2.62 nats",
    ]


def test_two_maps_have_one_text_and_the_data_of_both_sides():
    fragment = diff_fragment(EVERY_KIND, OTHER)
    data = Parsed(fragment).data
    names, places = data["outcomes"]

    assert [names[place] for place in places[2:]] == [
        *("both", "right", "neither", "neither", "left", "neither"),
    ]
    assert [side["label"] for side in data["sides"]] == ["A", "B"]
    assert [[column[0] for column in side["columns"]] for side in data["sides"]] == [
        ["weight", "influence", "score", "base_nll"],
        ["weight", "influence", "score", "base_nll"],
    ]
    assert '<li><bdi class="left">only in A: 1</bdi></li>' in fragment


def test_numbers_that_both_maps_have_alike_are_told_once():
    same = Parsed(diff_fragment(EVERY_KIND, EVERY_KIND)).data["sides"]
    assert [len(column) for column in same[0]["columns"]] == [3, 3, 3, 3]
    assert [len(column) for column in same[1]["columns"]] == [2, 2, 2, 2]


def test_maps_of_other_tokens_are_refused():
    with pytest.raises(SettingsError, match="tokens in one"):
        diff_fragment(EVERY_KIND, map_of(["a"], [1.0]))


def test_a_text_from_right_to_left_is_laid_out_so():
    assert 'dir="rtl"' in map_fragment(map_of(["<|user|>", "1 ⟨0xD7⟩", " שלום"], [NAN, 1.0, 1.0]))
    assert 'dir="ltr"' in map_fragment(EVERY_KIND)


@pytest.mark.parametrize(
    "fragment", [map_fragment(HOSTILE_MAP), diff_fragment(HOSTILE_MAP, HOSTILE_MAP)]
)
def test_no_tag_and_no_attribute_is_of_users_data(fragment):
    parsed = Parsed(fragment)
    harmless = Parsed(map_fragment(EVERY_KIND))

    assert set(parsed.tags) <= set(harmless.tags)
    assert {name for name, _ in parsed.attributes} <= {n for n, _ in harmless.attributes}
    values = {value for _, value in parsed.attributes}
    assert all(re.fullmatch(r"[a-z/ -]*", value) for value in values), values
    assert not UNSEEN.search(fragment)
    assert parsed.data["texts"][0] == HOSTILE[0]


def test_a_page_of_500_maps_stays_small():
    values = [1.23456789 * number for number in range(200)]
    names = [f"base_{number}" for number in range(8)]
    tokens = {"weights": [NAN] * 100 + values, "columns": {n: [NAN] * 100 + values for n in names}}
    size = len(map_fragment(map_of([" token"] * 300, **tokens)).encode())

    assert 500 * size < 15e6


# --- colours


def palette(block):
    """Return the colours of a block of custom properties, by name."""
    return dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", block))


def contrast(one, other):
    """Return the contrast ratio of two colours, as WCAG 2.2 defines it."""

    def luminance(colour):
        parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
        linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_every_text_can_be_read_on_its_ground(scheme):
    colours = palette(re.findall(r":root \{(.*?)\}", STYLE, re.DOTALL)[scheme])
    steps = [f"{sign}{step}" for sign in "np" for step in range(1, 5)]

    for ground in ("paper", "raised", "only-left", "only-right", *steps):
        assert contrast(colours["ink"], colours[ground]) >= 4.5, ground
    for ground in ("paper", "raised"):
        assert contrast(colours["quiet"], colours[ground]) >= 4.5, ground
    assert contrast(colours["focus"], colours["paper"]) >= 3


# --- in a browser


@pytest.fixture(scope="module")
def chromium(tmp_path_factory):
    with browser(tmp_path_factory.mktemp("browser") / "profile") as page:
        yield page


@pytest.fixture(scope="module")
def shown(chromium, tmp_path_factory):
    """A page of a map, of two maps of the same sample, of hostile ones and of many more."""
    file = tmp_path_factory.mktemp("page") / "maps.html"
    many = [map_fragment(map_of(["x"] * 50, [1.0] * 50)) for _ in range(60)]
    texts = ["a", *BYTES, "é"]
    maps = [EVERY_KIND, HOSTILE_MAP, map_of(texts, [1.0] * len(texts))]
    shown = [map_fragment(each) for each in maps]
    shown.insert(1, diff_fragment(EVERY_KIND, OTHER))
    controls = page_controls([EVERY_KIND, OTHER])
    file.write_text(page_of(controls, *shown, *many), encoding="utf-8")
    chromium.open(file.as_uri())
    chromium.wait_for("influence", "≥ 3.9 nats")
    return chromium


def card(page):
    """Return the rows of the card, or None if it is not shown."""
    rows = "[...document.querySelectorAll('#token-card tr')].map(row => row.innerText.split('\\t'))"
    return page.run(f"document.getElementById('token-card').hidden ? null : {rows}")


def press(page, *keys):
    for key in keys:
        page.press(key)


def point_at(page, selector, place=0):
    """Press a token, as soon as its map is built: they are when they come near the window."""
    token = f"document.querySelectorAll('{selector}')[{place}]"
    page.wait_until(f"!!{token} && {token}.matches('.token')")
    page.run(f"{token}.click()")


@needs_chromium
def test_the_card_of_a_token_tells_everything(shown):
    point_at(shown, ".token-map:first-of-type .dropped")

    assert card(shown) == [
        ["token", "13"],
        ["position", "3"],
        ["turn", "0"],
        ["outcome", "dropped"],
        ["weight", "0"],
        ["influence", f"{MINUS}1 nats"],
        ["score", f"{MINUS}1"],
        ["base_nll", "1 nats"],
        ["reason", "too plain"],
    ]
    assert shown.run("document.activeElement.getAttribute('aria-describedby')") == "token-card"


@needs_chromium
def test_the_card_of_a_prompt_token_and_of_an_unscorable_one_tell_what_there_is(shown):
    point_at(shown, ".token.prompt")
    prompt = card(shown)
    point_at(shown, ".token.unscorable")

    assert prompt == [["token", "10"], ["position", "0"], ["turn", "0"], ["outcome", "prompt"]]
    assert ["influence", NOTHING] in card(shown)


@needs_chromium
def test_a_token_of_bytes_tells_which_character_it_is_a_part_of(shown):
    tokens = ".token-map:nth-of-type(4) .token"
    shown.run("document.querySelectorAll('.token-map')[3].scrollIntoView()")
    parts = []
    for place in range(9):
        point_at(shown, tokens, place)
        parts.append(card(shown)[0])
    shown.run("scrollTo(0, 0)")

    quote, control = ["part of", "\u201c"], ["part of", "U+202E"]
    assert parts[0] == ["token", "10"]
    assert parts[1:5] == [["part of", "é"], ["part of", "é \u201c"], quote, quote]
    assert parts[5:8] == [control] * 3
    assert parts[8] == ["token", "18"]


@needs_chromium
def test_the_keyboard_goes_from_token_to_token(shown):
    shown.run(
        "document.activeElement.blur(); document.querySelector('.token-controls select').focus()"
    )
    shown.press("Tab", windowsVirtualKeyCode=9)
    press(shown, "Home")
    first = card(shown)
    press(shown, "ArrowRight", "ArrowRight", "ArrowLeft")
    second = card(shown)
    press(shown, "ArrowDown")
    below = card(shown)
    press(shown, "End")
    last = card(shown)
    press(shown, "Escape")

    assert [rows[1] for rows in (first, second, below, last)] == [
        *(["position", "0"], ["position", "1"], ["position", "3"], ["position", "7"]),
    ]
    assert card(shown) is None


@needs_chromium
def test_the_chosen_column_colours_every_map_and_its_scale_is_told(shown):
    def steps():
        tokens = "[...document.querySelectorAll('.token-map:first-of-type .token')]"
        return shown.run(f"{tokens}.map(token => token.className.split(' ')[2] || '')")

    def choose(name):
        select = "document.querySelector('.token-controls select')"
        shown.run(f"{select}.value = '{name}'; {select}.dispatchEvent(new Event('change'))")

    by_influence = steps()
    choose("base_nll")
    by_loss, scale = steps(), shown.run("document.querySelector('.token-scale').innerText")
    choose("nothing")
    by_nothing = steps()
    choose("influence")

    assert by_influence == ["", "", "p2", "n1", "", "", "p4", ""]
    assert by_loss == ["", "", "p2", "", "p1", "", "p4", ""]
    assert scale.split("\n") == ["≤ 1", "1.9", "2.7", "3.6", "≥ 4.5 nats"]
    assert by_nothing == [""] * 8
    assert steps() == by_influence


@needs_chromium
def test_the_card_of_two_maps_has_both_sides(shown):
    point_at(shown, ".token.left")

    assert card(shown)[:7] == [
        ["", "A", "B"],
        ["token", "16"],
        ["position", "6"],
        ["turn", "0"],
        ["outcome", "kept", "dropped"],
        ["weight", "1", "0"],
        ["influence", "4 nats", NOTHING],
    ]


@needs_chromium
def test_tokens_get_elements_when_their_map_comes_near(shown):
    count = "document.querySelectorAll('.token-map:last-of-type .token').length"
    before = shown.run(count)
    shown.run("document.querySelector('.token-map:last-of-type').scrollIntoView()")
    deadline = time.monotonic() + 20
    while not shown.run(count) and time.monotonic() < deadline:
        time.sleep(0.05)

    assert (before, shown.run(count)) == (0, 50)


@needs_chromium
def test_a_browser_runs_nothing_of_users_data_and_no_line_is_piled_up(shown):
    point_at(shown, ".token-map:nth-of-type(3) .token", 2)
    texts = shown.run(
        "document.querySelectorAll('.token-map')[2].querySelector('.tokens').innerText"
    )

    assert shown.run("document.title") == "maps"
    assert shown.run("document.querySelectorAll('img, [onmouseover], [onerror]').length") == 0
    assert HOSTILE[2] in texts
    assert "⟨U+202E⟩⟨U+2066⟩evil⟨U+200B⟩␛[31m␀␇⟨U+009B⟩" in texts
    assert shown.run("document.querySelectorAll('.token-map')[2].offsetHeight") < 4000
    assert any(HOSTILE[2] in " ".join(row) for row in card(shown))


@needs_chromium
def test_on_a_narrow_window_the_card_lies_below_and_covers_no_token(shown):
    shown.look(width=390, height=400)
    shown.run("scrollTo(0, 0)")
    point_at(shown, ".token.unlearned")
    card_box = "document.getElementById('token-card').getBoundingClientRect()"
    token_box = "document.activeElement.getBoundingClientRect()"

    assert shown.run(f"[{card_box}.left, {card_box}.bottom]") == [0, 400]
    assert shown.run(f"{card_box}.width === document.documentElement.clientWidth")
    assert shown.run(f"{token_box}.bottom < {card_box}.top")
    shown.look()


@needs_chromium
@pytest.mark.parametrize(("scheme", "ink"), [("light", "29, 33, 38"), ("dark", "233, 235, 238")])
def test_the_colour_scheme_is_the_readers(shown, scheme, ink):
    shown.look(scheme=scheme)

    colour = shown.run("getComputedStyle(document.querySelector('.token.kept')).color")
    assert colour == f"rgb({ink})"
    shown.look()


@needs_chromium
def test_on_paper_every_map_is_there_and_what_was_dropped_is_struck_out(shown):
    shown.look(medium="print")
    style = "getComputedStyle(document.querySelector('.token.dropped')).textDecorationLine"

    assert shown.run(style) == "line-through"
    assert shown.run("getComputedStyle(document.getElementById('token-card')).display") == "none"
    shown.look()
