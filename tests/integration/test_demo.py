"""The demonstration, shrunk to seconds: its numbers add up, and its report can be read."""

import io
import json
import os
import re
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image
from rich.console import Console

import sql
from flows.demo import METHODS, demo
from tasks.demo_report import Piece
from tasks.report import write_report
from tasks.status import describe_runs
from tests.browser import CHROMIUM, browser
from tokensieve.noise import demo as materials
from tokensieve.noise.planting import KINDS
from tokensieve.storage import LocalStorage

pytestmark = pytest.mark.usefixtures("prefect_server", "ray_cluster")

ROOT = Path(__file__).resolve().parents[2]
SCREENSHOTS = Path(os.environ.get("TOKENSIEVE_SCREENSHOTS", ROOT / "screenshots"))
SMALL = {"holdout": 12, "corpus": 120, "general": 60, "base": 30, "reference": 90}


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    return tmp_path_factory.mktemp("demo")


ROWS = (*METHODS, "self-evolving")


@pytest.fixture(scope="module")
def report(workspace, prefect_server, ray_cluster):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(materials, "_NUM_SAMPLES", SMALL)
        return demo(workspace)


def printed(report) -> str:
    console = Console(file=io.StringIO(), width=100, highlight=False, color_system=None)
    console.print(report, soft_wrap=True)
    return console.file.getvalue()


def test_every_row_and_response_token_of_the_corpus_is_accounted_for(report):
    stats = report.summary.stats

    assert (stats["read_rows"], stats["samples"], stats["skipped_rows"]) == (
        120,
        120 - stats["skipped_rows"],
        stats["skipped_rows"],
    )
    assert stats["quarantined_rows"] == stats["unscorable_tokens"] == 0
    assert stats["response_tokens"] == stats["kept_tokens"] + stats["dropped_tokens"]
    assert stats["kept_tokens"] == int(stats["response_tokens"] * 0.6)
    assert sum(row["kept_tokens"] for row in report.summary.sources) == stats["kept_tokens"]


@pytest.mark.parametrize("method", METHODS)
def test_dropped_noise_and_dropped_clean_text_are_all_that_the_index_says_was_dropped(
    report, workspace, method
):
    removal, num_response = report.removals[method], report.summary.stats["response_tokens"]
    num_clean = num_response - report.num_noise
    with sql.connect_published(LocalStorage(workspace)) as connection:
        [dropped] = connection.execute(
            "select dropped_tokens from round_stats where run like ?", [f"{method}-%"]
        ).fetchone()

    assert 0 < report.num_noise < num_clean
    assert list(removal.by_kind) == list(KINDS)
    assert removal.noise * report.num_noise + removal.clean * num_clean == pytest.approx(dropped)
    usual = (0.1, 0.35) if method == "sieve" else (0.35, 0.45)
    assert usual[0] < dropped / num_response < usual[1]


def test_noise_spans_are_counted_in_the_tokens_they_touch(report, workspace):
    rows = (workspace / "materials/planted.jsonl").read_text().splitlines()
    spans = [span for row in rows for span in json.loads(row)["spans"]]
    num_characters = sum(end - start for start, end, _ in spans)

    # a token of this tokenizer holds from one to some ten characters
    assert len(spans) <= report.num_noise <= num_characters
    assert {kind for *_, kind in spans} == set(KINDS)


def test_without_colour_dropped_tokens_and_planted_noise_are_marked_in_the_text(report):
    text = printed(report)
    shown = text.split("{planted noise}", 1)[1].split("\nTry next")[0].strip()
    dropped = "".join(p.text for p in report.sample if p.is_response and not p.is_kept)
    noise = "".join(p.text for p in report.sample if p.noise)

    assert "\x1b" not in text
    assert dropped
    assert noise
    assert "".join(re.findall(r"\[-(.*?)-\]", shown, re.DOTALL)) == dropped
    in_braces = "".join(re.findall(r"\{(.*?)\}", shown, re.DOTALL))
    assert re.sub(r"\[-|-\]", "", in_braces) == noise
    plain = "".join(p.text for p in report.sample).strip()
    assert re.sub(r"\[-|-\]|[{}]", "", shown) == plain


def test_the_report_has_a_row_for_each_method_and_commands_that_name_the_workspace(
    report, workspace
):
    lines = printed(report).splitlines()

    heading = next(n for n, line in enumerate(lines) if line.split()[:2] == ["method", "corrupted"])
    rows = {line.split()[0]: line.split()[1:] for line in lines[heading + 2 :][: len(ROWS)]}
    assert list(rows) == list(ROWS)
    for method, cells in rows.items():
        removal = report.removals[method]
        expected = (*removal.by_kind.values(), removal.noise, removal.clean)
        assert cells == [f"{share:.0%}" for share in expected]
    commands = lines[lines.index("Try next") + 1 :]
    assert [command.split()[:2] for command in commands] == [
        ["tokensieve", name] for name in ("status", "report", "history", "sql", "sql")
    ]
    assert all(workspace.name in command for command in commands)


def test_a_small_report_reads_as_written_here(report):
    pieces = [
        Piece("ask ", is_response=False, is_kept=False, noise=""),
        Piece("so ", is_response=True, is_kept=True, noise=""),
        Piece("gar", is_response=True, is_kept=False, noise="corrupted"),
        Piece("bage", is_response=True, is_kept=False, noise="corrupted"),
        Piece(" left", is_response=True, is_kept=True, noise="corrupted"),
        Piece(" out", is_response=True, is_kept=False, noise=""),
        Piece(" end", is_response=True, is_kept=True, noise=""),
    ]

    text = printed(replace(report, sample=pieces))

    assert "\nask so {[-garbage-] left}[- out-] end\n" in text


def test_status_calls_every_run_done(report, workspace):
    lines = describe_runs(LocalStorage(workspace)).splitlines()

    states = dict(line.split(": ") for line in lines if not line.startswith(" "))
    assert sorted(name.rsplit("-", 1)[0] for name in states) == sorted([*METHODS, "evolve"])
    assert set(states.values()) == {"done"}


def test_the_reference_evolves_on_the_noisy_corpus_itself(report, workspace):
    with sql.connect_published(LocalStorage(workspace)) as connection:
        rounds = connection.execute(
            "select round, promoted, kept_share from rounds join round_stats using (run, round) "
            "where run = ? order by round",
            [report.evolution.run],
        ).fetchall()
    removal = report.removals["self-evolving"]

    assert [number for number, *_ in rounds] == [0, 1, 2]
    assert rounds[0][1:] == (True, 1.0)
    assert [round(share, 2) for *_, share in rounds[1:]] == [0.6, 0.6]
    assert 0.3 < removal.clean < 0.5  # 40 % of all tokens go, clean or not
    assert report.evolution.history in printed(report)


@pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium")
def test_the_page_of_a_method_beside_another_is_seen_in_a_browser(
    report, workspace, tmp_path, monkeypatch
):
    monkeypatch.chdir(workspace.parent)
    storage, page = LocalStorage(Path(workspace.name)), tmp_path / "page.html"
    [other] = [name for name in storage.names("runs") if name.startswith("rho-")]
    write_report(storage, report.summary.run, None, other, 60, page)

    with browser(tmp_path / "profile") as tab:

        def keep(name, seen, num_tokens=0, **look):
            tab.look(**{"width": 860, "height": 1150} | look)
            tab.run(f"document.querySelector({seen!r}).scrollIntoView({{behavior: 'instant'}})")
            tab.wait_until(f"document.querySelectorAll('.token').length >= {num_tokens}")
            tab.screenshot(SCREENSHOTS / f"report-{name}.png")
            assert tab.run("document.documentElement.scrollWidth <= innerWidth"), name

        tab.open(page.as_uri())
        tab.wait_for("60 of 60 samples shown")
        keep("head", "header")
        keep("samples", ".token-controls", num_tokens=100)
        keep("dark", "#numbers", scheme="dark")
        keep("phone", "#where", width=320)
        tab.run("document.querySelector('[value=diff]').click()")
        keep("difference", "#samples")
    beside("report.png", "report-head.png", "report-samples.png")
    assert (SCREENSHOTS / "report.png").stat().st_size < 250_000


def beside(name, *parts):
    """Put screenshots of one size beside each other, in few colours."""
    images = [Image.open(SCREENSHOTS / part).convert("RGB") for part in parts]
    whole = Image.new("RGB", (sum(each.width for each in images), images[0].height))
    for number, each in enumerate(images):
        whole.paste(each, (number * each.width, 0))
    whole.quantize(128).save(SCREENSHOTS / name, optimize=True)
