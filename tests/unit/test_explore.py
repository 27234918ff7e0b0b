"""The explorer's pages: who is let in, what they show, and what a question may do."""

import re
import socket
import threading
import time
from html import unescape
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from sql.index import update_index
from tasks.explore import app, finding, questions, waiting
from tasks.explore.guard import MAX_BODY
from tasks.explore.server import explore
from tests.exploring import ROOT, TOKEN, Parsed, parsed, serving
from tests.tiny_questions import make_workspace
from tests.tiny_reports import HOSTILE, finish_reported_run, vocabulary_of
from tests.tiny_runs import chosen_in_training
from tests.tiny_workspace import Sample, finish_run, make_corpus, make_selection
from tokensieve.errors import SettingsError
from tokensieve.storage import LocalStorage

ENDLESS = "WITH RECURSIVE r AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM r) SELECT count(*) FROM r"
AT = "tiny-1:1"
PAGES = [
    "",
    f"round?at={AT}",
    f"samples?at={AT}",
    f"tokens?at={AT}",
    f"token?at={AT}&token_id=1",
    "sample?sample=a",
    f"sample?sample=a&at={AT}&with=tiny-1:0",
    "query",
    "query?name=worst_sources",
]

HOSTILE_IDS = [tag + unseen for tag, unseen in zip(HOSTILE[:3], HOSTILE[3:6], strict=True)]
HOSTILE_SOURCES = [unseen + tag for tag, unseen in zip(HOSTILE[:3], HOSTILE[3:6], strict=True)]
BOX = re.compile("<textarea.*?</textarea>", re.DOTALL)


@pytest.fixture(scope="module")
def storage(tmp_path_factory):
    storage = LocalStorage(tmp_path_factory.mktemp("workspace"))
    finish_reported_run(storage)
    return storage


@pytest.fixture(scope="module")
def client(storage):
    with serving(storage) as client:
        yield client


def ask(client, statement, **more):
    return client.post("query", data={"statement": statement}, **more)


# --- who is let in


def test_the_token_becomes_a_cookie_that_no_page_and_no_other_site_gets(client):
    with httpx.Client(base_url=client.base_url) as other:
        answer = other.get("", params={"token": TOKEN})
        after = other.get("")

    cookie = answer.headers["set-cookie"]
    assert cookie == f"tokensieve={TOKEN}; HttpOnly; Path={ROOT}; SameSite=strict"
    assert f'content="0; url={ROOT}/"' in answer.text
    assert TOKEN not in answer.text
    assert (answer.status_code, after.status_code) == (200, 200)


@pytest.mark.parametrize("page", [*PAGES, "nowhere", "?token=another", "?token=", "/"])
def test_without_the_token_nothing_is_shown(client, page):
    with httpx.Client(base_url=client.base_url) as other:
        bare, wrong = other.get(page), other.get(page, headers={"cookie": "tokensieve=another"})

    assert (bare.status_code, wrong.status_code) == (403, 403)
    assert bare.text == "tokensieve: Open the whole address that `tokensieve explore` printed.\n"


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example:80", "", "[::1]:80"])
def test_a_name_that_was_made_to_lead_here_is_refused(client, host):
    assert client.get("", headers={"host": host}).status_code == 403


@pytest.mark.parametrize("host", ["localhost:9000", "127.0.0.1:9000", "localhost"])
def test_a_port_that_was_forwarded_here_is_this_machine(client, host):
    assert client.get("", headers={"host": host}).status_code == 200


@pytest.mark.parametrize(
    "origin", ["null", "http://evil.example", "http://localhost:1", "https://127.0.0.1", ""]
)
def test_a_question_that_another_page_sends_is_refused(client, origin):
    assert ask(client, "SELECT 1", headers={"origin": origin}).status_code == 403


def test_a_question_is_as_long_as_a_question_can_be_and_no_longer(client):
    assert ask(client, "SELECT 1 --" + "x" * MAX_BODY).status_code == 413
    assert ask(client, "SELECT 1 --" + "x" * 100_000).status_code == 200


@pytest.mark.parametrize("method", ["PUT", "DELETE", "OPTIONS", "PATCH", "TRACE"])
def test_no_other_method_is_known(client, method):
    assert client.request(method, "").status_code == 405


@pytest.mark.parametrize("page", [*PAGES, "nowhere", f"?token={TOKEN}", "samples?at=nothing"])
def test_every_answer_forbids_what_a_page_does_not_need(client, page):
    first, second = client.get(page).headers, client.get(page).headers

    policy = first["content-security-policy"]
    [nonce] = {each.split("'")[1] for each in policy.split("; ") if "nonce-" in each}
    assert policy == (
        f"default-src 'none'; style-src '{nonce}'; script-src '{nonce}'; img-src data:; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    )
    assert nonce not in second["content-security-policy"]
    assert first["cache-control"] == "no-store"
    assert first["x-content-type-options"] == "nosniff"
    assert first["referrer-policy"] == "same-origin"
    assert "server" not in first


def test_a_port_that_is_taken_is_said_so(storage):
    with (
        socket.create_server(("127.0.0.1", 0)) as taken,
        pytest.raises(SettingsError, match=r"--port: \d+ cannot be listened on: Address already"),
    ):
        explore(storage, taken.getsockname()[1], opens_browser=False)
    with pytest.raises(SettingsError, match="--port: 70000 cannot be listened on"):
        explore(storage, 70000, opens_browser=False)


# --- what pages show


def test_the_way_goes_from_the_runs_to_a_sample_by_what_is_on_the_pages(client):
    runs = parsed(client.get(""))
    [run] = runs.links("round")[:1]
    round = parsed(client.get(run))
    source = round.links("samples")[1]
    samples = parsed(client.get(source))
    [sample] = samples.links("sample")
    shown = parsed(client.get(sample))

    assert parse_qs(urlsplit(run).query) == {"at": ["tiny-1:1"]}
    assert parse_qs(urlsplit(source).query) == {"at": ["tiny-1:1"], "source": ["two"]}
    assert parse_qs(urlsplit(sample).query) == {"at": ["tiny-1:1"], "sample": ["b"]}
    assert "kept" in shown.text


def test_samples_are_paged_in_their_order_and_none_is_lost(client, monkeypatch):
    monkeypatch.setattr(finding, "PAGE_ROWS", 1)
    orders = {}
    for order in finding.SAMPLE_ORDERS:
        seen, address = [], f"samples?at={AT}&order={order}"
        while address:
            page = parsed(client.get(address))
            seen += [parse_qs(urlsplit(each).query)["sample"][0] for each in page.links("sample")]
            address = next((each for each in page.links("samples") if "after=" in each), None)
        orders[order] = "".join(seen)

    assert orders == {
        "influence": "abc",
        "-influence": "cab",
        "kept": "bac",
        "-kept": "cab",
        "-loss": "cab",
        "loss": "bac",
    }


@pytest.mark.parametrize(("prefix", "found"), [("a", "a"), ("", "abc"), ("%", "")])
def test_samples_are_found_by_how_their_ids_begin(client, prefix, found):
    page = parsed(client.get("samples", params={"at": AT, "prefix": prefix}))

    assert "".join(row[0] for row in page.rows[1:]) == found


def test_tokens_are_found_by_their_text_and_paged(client, monkeypatch):
    monkeypatch.setattr(finding, "PAGE_ROWS", 3)
    first = parsed(client.get(f"tokens?at={AT}&order=-count"))
    [rest] = [each for each in first.links("tokens") if "after=" in each]
    found = parsed(client.get("tokens", params={"at": AT, "text": "DROP"}))

    assert [tokens_of(each) for each in (first, parsed(client.get(rest)), found)] == [
        [1, 2, 3],
        [4],
        [3],
    ]


def tokens_of(page):
    """Return the ids that a page of tokens lists."""
    return [int(parse_qs(urlsplit(each).query)["token_id"][0]) for each in page.links("token")]


def test_a_token_is_shown_wherever_it_stands_what_was_dropped_first(client, monkeypatch):
    monkeypatch.setattr(finding, "PAGE_ROWS", 1)
    seen, address = [], f"token?at={AT}&token_id=1"
    while address:
        page = parsed(client.get(address))
        seen += places_of(page)
        address = next((each for each in page.links("token") if "after=" in each), None)
    of_two = parsed(client.get(f"token?at={AT}&token_id=1&source=two"))

    assert seen == [("b", "2"), ("a", "3"), ("a", "1"), ("b", "1")]
    assert places_of(of_two) == [("b", "2")]


def test_where_a_token_stands_is_told_with_what_the_training_decided_last(tmp_path):
    storage = LocalStorage(tmp_path / "w")
    chosen_in_training(storage)
    update_index(storage)
    with serving(storage) as client:
        pages = [parsed(client.get(f"token?at=online-1:0&token_id={token}")) for token in (1, 2)]

    assert [weights_of(page) for page in pages] == [["1"], ["0"]]
    assert [marks_of(page) for page in pages] == [[{}], [{"class": "dropped"}]]


def test_what_is_unlearned_is_not_shown_as_kept(tmp_path):
    storage = LocalStorage(tmp_path / "w")
    corpus = make_corpus(storage, [[Sample("a", "one", (0, 1, 2))]])
    finish_run(storage, "unlearning", [(corpus, {}, make_selection(corpus, [[-1, 1]]))])
    update_index(storage)
    with serving(storage) as client:
        pages = [parsed(client.get(f"token?at=unlearning:0&token_id={token}")) for token in (1, 2)]

    assert [weights_of(page) for page in pages] == [["-1"], ["1"]]
    assert [marks_of(page) for page in pages] == [[{"class": "dropped"}], [{}]]


def weights_of(page):
    return [row[4] for row in page.rows[1:]]


def marks_of(page):
    return [attributes for tag, attributes in page.tags if tag == "mark"]


def places_of(page):
    """Return sample and position of each place that a page lists."""
    return [tuple(row[1:3]) for row in page.rows[1:]]


def test_a_sample_without_a_round_is_shown_in_the_last_one_that_has_it(client):
    page = parsed(client.get("sample?sample=a"))

    assert [each["value"] for tag, each in page.tags if tag == "option" and "selected" in each] == [
        "tiny-1:1"
    ]


def test_two_rounds_of_a_sample_stand_beside_each_other(client):
    page = parsed(client.get("sample?sample=b&at=tiny-1:0&with=tiny-1:1"))

    for count in ("kept in both: 1", "only in A: 1", "only in B: 0", "in neither: 1"):
        assert count in page.text


@pytest.mark.parametrize(
    ("page", "status", "reason"),
    [
        ("samples", 400, "at: is missing in the address"),
        ("samples?at=none", 400, "at: the index has no round of run 'none'"),
        ("samples?at=tiny-1:9", 400, "at: the index has no round 9 of run 'tiny-1'"),
        (f"samples?at={AT}&order=by+luck", 400, "order: 'by luck' is not one of these"),
        (f"samples?at={AT}&after=[1]", 400, "after: '[1]' is no end of a page"),
        (f"samples?at={AT}&after=%7B", 400, "after: '{' is no end of a page"),
        (f"samples?at={AT}&after={'[' * 9000}", 400, "is no end of a page"),
        (f"samples?at=tiny-1:{'9' * 9000}", 400, "is not of the form RUN or RUN:ROUND"),
        (f"token?at={AT}&token_id=-1", 400, "token_id: '-1' is not a whole number"),
        ("sample?sample=nobody", 400, "sample: no round of the index has 'nobody'"),
        (f"sample?sample=nobody&at={AT}", 400, "sample: no round of the index has 'nobody'"),
        ("query?name=no_such", 400, "'no_such'"),
        ("nowhere", 404, "Not Found"),
    ],
)
def test_what_cannot_be_shown_is_said_with_a_reason(client, page, status, reason):
    assert reason in parsed(client.get(page), status).text


@pytest.fixture(scope="module")
def varied(tmp_path_factory):
    """Pages of a workspace with rounds of every kind."""
    storage = LocalStorage(tmp_path_factory.mktemp("varied"))
    make_workspace(storage)
    update_index(storage)
    with serving(storage) as client:
        yield client


def test_every_kind_of_round_is_shown_on_every_page(varied):
    runs = parsed(varied.get(""))
    rounds = [
        each["value"]
        for tag, each in parsed(varied.get(runs.links("round")[0])).tags
        if tag == "option"
    ]

    assert rounds == ["evolve-1:0", "evolve-1:1", "first:0", "online-1:0", "online-1:1", "second:0"]
    for at in rounds:
        for page in ("round", "samples", "tokens"):
            assert parsed(varied.get(page, params={"at": at})).rows, (page, at)
        for sample in parsed(varied.get("samples", params={"at": at})).links("sample"):
            assert "kept" in parsed(varied.get(sample)).text


def test_a_run_that_has_arms_and_no_round_is_told_of_and_leads_nowhere(varied):
    page = parsed(varied.get(""))

    assert [row[:3] for row in page.rows if row[0] == "compare-1"] == [
        ["compare-1", "compare", "0"]
    ]
    assert not [each for each in page.links("round") if "compare-1" in each]


def test_what_policies_changed_stands_under_the_round(varied):
    page = parsed(varied.get("round?at=second:0"))

    assert page.rows[-3:] == [
        ["policy", "tokens kept", "tokens dropped"],
        ["ends", "2", "0"],
        ["spans", "1", "1"],
    ]


def test_an_empty_workspace_says_what_to_do_and_shows_the_first_round_when_it_is_there(tmp_path):
    storage = LocalStorage(tmp_path)
    with serving(storage) as client:
        before = parsed(client.get(""), 404).text
        finish_reported_run(storage)
        after = parsed(client.get(""))
        finish_reported_run(storage, "tiny-2")
        later = parsed(client.get(""))

    assert "there is no index yet. Finish a run" in before
    assert "tokensieve demo" in before
    assert len(after.links("round")) == 1
    assert len(later.links("round")) == 2


# --- questions


def test_an_answer_is_a_table_that_leads_to_its_samples(client):
    page = parsed(
        ask(client, "SELECT run, round, sample_id FROM sample_stats ORDER BY ALL LIMIT 1")
    )
    bare = parsed(ask(client, "SELECT 'a' AS sample_id, NULL AS run"))

    assert page.links("sample") == ["sample?at=tiny-1%3A0&sample=a"]
    assert bare.links("sample") == ["sample?sample=a"]


def test_the_name_of_a_query_is_a_question(client):
    page = parsed(ask(client, "worst_sources"))

    assert "run = tiny-1 · round = 1 · most = 20" in page.text
    assert [row[0] for row in page.rows] == ["source", "two", "one"]


def test_a_query_that_has_a_name_opens_in_the_box_and_its_parameters_are_changed_there(client):
    [named] = [
        each for each in parsed(client.get("query")).links("query") if "worst_samples" in each
    ]
    statement = box_of(client.get(named))
    found = parsed(
        ask(client, statement.replace("$at_least = 20, $most = 20", "$at_least = 3, $most = 1"))
    )

    assert "at_least = 3 · most = 1" in found.text
    assert found.links("sample") == ["sample?at=tiny-1%3A1&sample=b"]


def box_of(answer):
    """Return what stands in the box for questions."""
    return unescape(answer.text.split("<textarea")[1].split(">", 1)[1].split("</textarea>")[0][1:])


@pytest.mark.parametrize(
    ("statement", "image"),
    [
        ("SELECT source, kept_share FROM source_stats", "Bars of kept_share by source."),
        ("SELECT 1 AS a, 2.5 AS b", "Line of b over a."),
        ("SELECT 'x' AS a, NULL::DOUBLE AS b", "Bars of b by a."),
        ("SELECT 1 AS a, 'infinity'::DOUBLE AS b", "Line of b over a."),
        ("SELECT 'x' AS a, 1 AS b, 2 AS c", None),
        ("SELECT 1 AS a, 'x' AS b", None),
        ("SELECT 'x' AS a, 1 AS b WHERE FALSE", None),
    ],
)
def test_an_answer_of_two_columns_is_drawn_if_they_fit(client, statement, image):
    page = parsed(ask(client, statement))
    images = [attributes for tag, attributes in page.tags if tag == "img"]

    assert [each["alt"] for each in images] == (
        [f"{image} The table holds the numbers."] if image else []
    )
    assert all(each["src"].startswith("data:image/svg+xml;base64,") for each in images)


def test_more_rows_than_are_shown_are_said_to_be_there(client, monkeypatch):
    monkeypatch.setattr(questions, "MAX_ROWS", 2)

    assert "2 of more rows" in parsed(ask(client, "FROM range(3)")).text


def test_what_is_wrong_with_a_question_stands_on_the_page_with_its_place(client):
    answer = ask(client, "SELECT run,\r\n  nothing FROM rounds")
    page = parsed(answer, 400)

    assert 'the query:2:3: Referenced column "nothing" not found in FROM clause!' in page.text
    assert "SELECT run,\n  nothing FROM rounds" in page.text


@pytest.mark.parametrize(
    ("statement", "reason"),
    [
        ("ATTACH '{place}/other.duckdb'", "ATTACH is refused"),
        ("COPY rounds TO '{place}/rounds.csv'", "COPY is refused"),
        ("SELECT * FROM read_text('/etc/passwd')", "file system operations are disabled"),
        ("SELECT * FROM read_csv('http://127.0.0.1/')", "disabled"),
        ("SELECT * FROM glob('/*')", "disabled"),
        ("SELECT 1; SELECT 2", "holds 2 statements"),
        ("SET threads = 8", "SET is refused"),
        ("INSTALL httpfs", "is refused"),
        ("DROP TABLE rounds", "DROP is refused"),
        ("CREATE TABLE memory.main.t (a INTEGER)", "CREATE is refused"),
        ("", "no statements"),
    ],
)
def test_a_question_only_reads(client, tmp_path, statement, reason):
    answer = ask(client, statement.format(place=tmp_path))

    assert reason in parsed(answer, 400).text
    assert list(tmp_path.iterdir()) == []


def test_a_question_that_is_not_utf_8_is_wrong(client):
    kind = {"content-type": "application/x-www-form-urlencoded"}

    answer = client.post("query", content=b"statement=SELECT+\xff%ED%A0%80", headers=kind)

    assert "the query:1:8: " in parsed(answer, 400).text


def test_a_question_ends_at_its_limit_and_pages_are_shown_meanwhile(client, monkeypatch):
    monkeypatch.setattr(questions, "MAX_SECONDS", 3.0)
    answers = []
    asking = threading.Thread(target=lambda: answers.append(ask(client, ENDLESS)))
    began = time.monotonic()
    asking.start()
    pages = [client.get(page).status_code for page in PAGES[:3]]
    was_asking = asking.is_alive()
    asking.join()

    assert pages == [200, 200, 200]
    assert was_asking
    assert "was stopped after 3 s" in parsed(answers[0], 503).text
    assert 3.0 < time.monotonic() - began < 30.0


def test_more_questions_than_may_run_wait_and_are_told_when_it_takes_long(client, monkeypatch):
    monkeypatch.setattr(questions, "MAX_SECONDS", 3.0)
    monkeypatch.setattr(waiting, "MAX_WAIT_SECONDS", 0.5)
    answers = []
    endless = [
        threading.Thread(target=lambda: answers.append(ask(client, ENDLESS)))
        for _ in range(app.QUESTIONS_AT_ONCE)
    ]
    for each in endless:
        each.start()
    time.sleep(0.5)
    busy = ask(client, "SELECT 1")
    for each in endless:
        each.join()

    assert "2 may run at once. Ask again" in parsed(busy, 503).text
    assert busy.headers["retry-after"] == "5"
    assert [each.status_code for each in answers] == [503, 503]
    assert ask(client, "SELECT 1").status_code == 200


def test_a_question_whose_page_was_closed_makes_room_for_others(client, monkeypatch):
    monkeypatch.setattr(waiting, "MAX_WAIT_SECONDS", 30.0)
    for _ in range(app.QUESTIONS_AT_ONCE):
        with pytest.raises(httpx.ReadTimeout):
            ask(client, ENDLESS, timeout=0.5)
    began = time.monotonic()

    assert ask(client, "SELECT 1").status_code == 200
    assert time.monotonic() - began < 20.0 < questions.MAX_SECONDS


def test_a_question_that_hangs_does_not_hold_up_the_end(storage, monkeypatch, capfd):
    hung = threading.Event()
    monkeypatch.setattr(app, "answer_question", lambda *_: hung.wait(60))
    began = time.monotonic()
    with serving(storage) as client, pytest.raises(httpx.ReadTimeout):
        ask(client, "SELECT 1", timeout=0.5)
    seconds = time.monotonic() - began
    hung.set()

    assert seconds < 20.0
    assert capfd.readouterr().err == ""


# --- hostile text


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    """Pages of a workspace whose samples, sources, run and tokens are called by hostile text."""
    storage = LocalStorage(tmp_path_factory.mktemp("hostile"))
    samples = tuple(
        Sample(HOSTILE_IDS[n], HOSTILE_SOURCES[n], tokens)
        for n, tokens in enumerate([(0, 1, 2, 3, 4), (5, 6, 7, 1), (2, 4)])
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tests.tiny_workspace.VOCABULARY", vocabulary_of(HOSTILE))
        finish_reported_run(storage, "tiny-1", samples)
    with serving(storage) as client:
        yield client


def hostile_pages():
    sample = {"sample": HOSTILE_IDS[0]}
    return [
        ("", {}),
        ("round", {"at": AT}),
        ("samples", {"at": AT}),
        ("samples", {"at": AT, "source": HOSTILE_SOURCES[0]}),
        ("samples", {"at": AT, "source": HOSTILE[3]}),
        ("tokens", {"at": AT, "text": HOSTILE[0]}),
        ("tokens", {"at": AT}),
        *(("token", {"at": AT, "token_id": token}) for token in range(8)),
        ("sample", sample),
        ("sample", {**sample, "at": AT, "with": "tiny-1:0"}),
        ("sample", {"sample": HOSTILE_IDS[2]}),
        *(
            ("samples", {"at": AT, name: text})
            for name in ("at", "order", "after")
            for text in HOSTILE
        ),
        *((text, {}) for text in ("%3Cscript%3E", "%22onload=")),
    ]


@pytest.mark.parametrize(("page", "parameters"), hostile_pages())
def test_hostile_text_is_seen_and_never_obeyed(hostile, page, parameters):
    answer = hostile.get(page, params=parameters)

    assert answer.status_code in (200, 400, 404)
    assert_inert(answer)


def test_what_is_called_by_hostile_text_is_found_by_it(hostile):
    samples = parsed(hostile.get("samples", params={"at": AT, "source": HOSTILE_SOURCES[0]}))
    [sample] = samples.links("sample")

    assert parse_qs(urlsplit(sample).query)["sample"] == [HOSTILE_IDS[0]]
    assert "⟨U+202E⟩" in parsed(hostile.get(sample)).text


def test_hostile_text_in_answers_is_seen_and_never_obeyed(hostile):
    for statement in (
        "SELECT sample_id, source, text FROM tokens",
        "SELECT text, count(*) AS n FROM tokens GROUP BY text",
        'SELECT 1 AS "<script>alert(1)</script>", 2 AS "\u202e\x1b"',
        'SELECT "</textarea><script>alert(1)</script>"',
        "-- </textarea><script>alert(1)</script>\nSELECT run FROM rounds",
        "</textarea><script>",
    ):
        assert_inert(ask(hostile, statement))


def assert_inert(answer):
    """Check that nothing of users' data became a tag, an attribute or a character to be obeyed."""
    page = parsed(answer, answer.status_code)
    nonce = answer.headers["content-security-policy"].split("'nonce-")[1].split("'")[0]
    for tag, attributes in page.tags:
        assert not any(name.startswith(("on", "style")) for name in attributes), attributes
        assert tag not in ("iframe", "object", "embed", "base", "svg/onload=alert(4)"), tag
        assert tag != "img" or attributes["src"].startswith("data:image/svg+xml;base64,")
        if tag in ("script", "style"):
            is_data = attributes == {"type": "application/json"}
            assert is_data or attributes == {"nonce": nonce}, attributes
    shown = BOX.sub("", answer.text)  # what was asked stands there as it was asked
    assert set(Parsed(shown).text) & {"\x00", "\x1b", "\x07", "\u202e"} == set()
