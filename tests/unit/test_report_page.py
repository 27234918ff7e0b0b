"""The page of a report, as a parser takes it apart and as a browser shows it."""

import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from tasks.report import make_report, write_report
from tests import tiny_workspace
from tests.browser import CHROMIUM, browser
from tests.tiny_reports import HOSTILE, A, B, C, finish_reported_run, vocabulary_of
from tests.tiny_workspace import Sample
from tokensieve.report import report_page
from tokensieve.storage import LocalStorage
from tokensieve.token_maps.markup import content_hash

UNSEEN = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069]")
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium")


class Parsed(HTMLParser):
    """A page as a browser takes it apart."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.texts = [], []
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_data(self, data):
        self.texts.append(data)


def made_of(directory, texts, names=("one", "two", "a", "b", "c", "a.jsonl")):
    """Return a workspace with a run over a vocabulary of these texts, and names of users' data."""
    storage = LocalStorage(directory)
    storage.probe()
    one, two, *ids, file = names
    sources = (one, two, one)
    samples = tuple(
        Sample(id, source, each.tokens, each.turns)
        for id, source, each in zip(ids, sources, (A, B, C), strict=True)
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tiny_workspace, "VOCABULARY", vocabulary_of(texts))
        finish_reported_run(storage, samples=samples, file=file)
    return storage


@pytest.fixture(scope="module")
def harmless(tmp_path_factory):
    return made_of(tmp_path_factory.mktemp("harmless"), ["some", *"abcdefg"])


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    names = (*HOSTILE[4:6], *HOSTILE[:3], HOSTILE[6])
    return made_of(tmp_path_factory.mktemp("hostile"), HOSTILE, names)


@pytest.fixture(scope="module")
def harmless_page(harmless):
    return page_of(harmless)


@pytest.fixture(scope="module")
def hostile_page(hostile):
    return page_of(hostile)


def page_of(storage):
    return report_page(make_report(storage, "tiny-1", None, None, 500)).decode()


def structure(page):
    """Return every element with the names of its attributes."""
    return [(tag, sorted(attributes)) for tag, attributes in Parsed(page).tags]


def test_nothing_in_users_data_becomes_an_element_or_an_attribute(harmless_page, hostile_page):
    assert structure(hostile_page) == structure(harmless_page)


def test_no_element_acts_by_itself_and_no_address_is_fetched(hostile_page):
    for tag, attributes in Parsed(hostile_page).tags:
        assert not [name for name in attributes if name.startswith("on") or name == "style"]
        assert attributes.get("href", "#").startswith("#"), tag
        assert "src" not in attributes, tag


def test_what_cannot_be_seen_is_spelt_out_everywhere(hostile_page):
    assert not UNSEEN.findall(hostile_page)
    assert "⟨U+202E⟩gnp.exe" in hostile_page
    assert "␛[31mred" in hostile_page


def test_templates_in_users_data_are_text(hostile_page):
    assert "{{␣7␣*␣7␣}}" in hostile_page
    assert ">49<" not in hostile_page


def test_only_the_styles_and_the_script_of_the_page_are_allowed(hostile_page):
    [style] = re.findall(r"<style>(.*?)</style>", hostile_page, re.DOTALL)
    [script] = re.findall(r"<script>(.*?)</script>", hostile_page, re.DOTALL)
    policies = [
        attributes["content"]
        for tag, attributes in Parsed(hostile_page).tags
        if attributes.get("http-equiv") == "Content-Security-Policy"
    ]
    assert policies == [
        f"default-src 'none'; style-src {content_hash(style)}; script-src {content_hash(script)}; "
        "base-uri 'none'; form-action 'none'"
    ]


def test_every_table_has_a_caption_and_headings_and_every_chart_words(harmless_page):
    tables = re.findall(r"<table>.*?</table>", harmless_page, re.DOTALL)
    assert len(tables) >= 10
    assert all("<caption>" in table and 'scope="col"' in table for table in tables)
    charts = re.findall(r'<svg class="area"[^>]*>', harmless_page)
    assert len(charts) == 5  # influence, the method's number, loss, shares, influence by round
    assert all('role="img"' in chart and "aria-label=" in chart for chart in charts)


@pytest.mark.parametrize(
    "words",
    [
        "Of 8 response tokens it kept 5 , or 62.5 % , to train on.",
        "of 3 samples; 0 kept no token",
        "quarantined 2 not_json 2",
        "prompts and templates 3 read, never trained on",
        "one 80.0 % 4 5 0.400",
        "3 samples, ranked by mean influence, the worst first",
        "All of them can be compared with round 0 of tiny-1 (full)",
        "rejected: judged",
        "stale 2 66.7 %",
        "This round's results took 2.0 s of work",
    ],
)
def test_the_page_says_in_words_what_was_counted(harmless_page, words):
    assert words in " ".join(" ".join(Parsed(harmless_page).texts).split())


@pytest.fixture(scope="module")
def shown(hostile, tmp_path_factory):
    """Yield a browser that shows the hostile report."""
    place = tmp_path_factory.mktemp("shown")
    write_report(hostile, "tiny-1", None, None, 500, place / "page.html")
    with browser(place / "profile") as page:
        page.look(1200, 900)
        page.open((place / "page.html").as_uri())
        page.wait_for("3 of 3 samples shown")
        yield page


VISIBLE = "[...document.querySelectorAll('.sample')].filter(e => e.offsetParent).map(e => {})"
RANKS = VISIBLE.format("e.dataset.rank")


def put(page, name, value):
    """Give a control of the filters a value, as a person does."""
    field = f"document.querySelector('.filters').elements['{name}']"
    page.run(f"{field}.value = {value!r}")
    page.run(f"{field}.dispatchEvent(new Event('input', {{bubbles: true}}))")


def reset(page):
    page.click("show all")
    page.wait_for("3 of 3 samples shown")


@needs_chromium
def test_a_browser_runs_nothing_of_users_data(shown):
    assert shown.run("document.querySelectorAll('script:not([type])').length") == 1
    assert shown.run("document.querySelectorAll('img, iframe, object, link, base').length") == 0
    assert shown.run("document.title") == "tiny-1, round 1 · tokensieve"
    assert shown.run("getComputedStyle(document.querySelector('main')).fontSize") == "16px"
    assert shown.run("performance.getEntriesByType('resource').length") == 0


@needs_chromium
def test_samples_are_found_by_text_source_and_kept_share(shown):
    put(shown, "text", "GNP.EXE")  # the vocabulary token of sample c alone
    shown.wait_for("1 of 3 samples shown", seconds=10)
    assert shown.run(RANKS) == ["3"]
    reset(shown)
    put(shown, "source", "1")
    shown.wait_for("1 of 3 samples shown", seconds=10)
    assert shown.run(RANKS) == ["1"]
    reset(shown)
    put(shown, "low", "40")
    put(shown, "high", "80")
    shown.wait_for("1 of 3 samples shown", seconds=10)
    assert shown.run(RANKS) == ["2"]
    put(shown, "text", "no sample says this")
    shown.wait_for("0 of 3 samples shown", seconds=10)
    reset(shown)
    assert shown.run(RANKS) == ["1", "2", "3"]


@needs_chromium
def test_samples_are_put_in_order(shown):
    for order, ranks in (("-rank", "321"), ("-kept", "321"), ("-tokens", "213"), ("rank", "123")):
        put(shown, "order", order)
        assert "".join(shown.run(RANKS)) == ranks


@needs_chromium
def test_the_difference_takes_the_place_of_the_round(shown):
    shown.run("document.querySelector('[value=diff]').click()")
    assert "only in A" in shown.run("document.querySelector('.view-diff').textContent")
    assert shown.run("document.querySelector('.view-diff').offsetParent !== null")
    assert shown.run("document.querySelector('.view-one').offsetParent") is None
    reset(shown)
    assert shown.run("document.querySelector('.view-diff').offsetParent") is None


@needs_chromium
def test_everything_is_reached_by_keyboard(shown):
    shown.run("document.querySelector('[type=search]').focus()")
    shown.wait_until("document.querySelectorAll('.token[tabindex]').length")
    reached = []
    while "BDI" not in reached and len(reached) < 12:  # a token: the maps take it from here
        shown.press("Tab", windowsVirtualKeyCode=9)
        reached.append(shown.run("document.activeElement.name || document.activeElement.tagName"))
    assert reached[:5] == ["source", "low", "high", "order", "BUTTON"]
    assert reached[5] == "view"
    assert reached[-1] == "BDI"
    assert shown.run("getComputedStyle(document.activeElement).outlineStyle") != "none"


@needs_chromium
@pytest.mark.parametrize("width", [320, 600])
def test_a_phone_shows_the_page_without_scrolling_sideways(shown, width):
    shown.look(width, 700)
    page = "document.documentElement"
    sizes = shown.run(f"[{page}.scrollWidth, {page}.clientWidth]")
    shown.look(1200, 900)
    assert sizes[0] <= sizes[1]


@needs_chromium
def test_paper_is_dark_where_that_is_preferred_and_print_shows_no_controls(shown):
    def colour():
        return shown.run("getComputedStyle(document.body).backgroundColor")

    light = colour()
    shown.look(1200, 900, scheme="dark")
    dark = colour()
    shown.look(1200, 900, medium="print")
    hidden = "['.filters', 'nav'].map(e => document.querySelector(e).offsetParent)"
    printed = shown.run(hidden)
    shown.look(1200, 900)
    assert (light, dark) == ("rgb(253, 253, 252)", "rgb(22, 25, 29)")
    assert printed == [None, None]


def test_what_policies_and_alarms_say_is_shown_where_there_is_any(harmless, harmless_page):
    report = make_report(harmless, "tiny-1", None, None, 0)
    changed = {"policy": "digits", "kept_tokens": 1234, "dropped_tokens": 5}
    policies = [changed | {"kept_by_method": 0.5}]
    findings = replace(report.findings, policies=policies)
    page = report_page(replace(report, findings=findings, alarms=("kept 10 % & falls",))).decode()
    said = " ".join(" ".join(Parsed(page).texts).split())
    assert "What policies changed the method alone would have kept 50.0 %" in said
    assert "digits 1,234 5" in said
    assert "Unlike the drops before it kept 10 % & falls" in said
    assert "policies" not in harmless_page.partition("<body>")[2].partition("<script>")[0]
    assert 'id="alarms"' not in harmless_page


def test_of_a_part_it_is_told_what_of_the_whole_drop_was_left_out(harmless):
    report = make_report(harmless, "tiny-1", None, None, 0)
    stats = report.findings.stats | {"read_rows": 3, "quarantined_rows": 0}
    page = report_page(replace(report, findings=replace(report.findings, stats=stats))).decode()
    said = " ".join(" ".join(Parsed(page).texts).split())
    assert "quarantined 0 skipped 0" in said
    assert "part of the drop. Of all rows of the drop were left out: not_json 2." in said
