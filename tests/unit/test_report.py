"""What a report says of a run that was counted by hand."""

import pytest

from flows.cli import main
from sql.index import update_index
from sql.report import list_extreme_samples, read_findings
from tasks.report import make_report, write_report
from tests.tiny_reports import finish_reported_run
from tests.tiny_workspace import Sample, begin_run, finish_run, make_corpus, make_selection
from tokensieve.errors import InputError, SettingsError
from tokensieve.report import bin_width, wording
from tokensieve.report.distribution import Bin, Distribution, influence_distribution
from tokensieve.report.drawing import HEIGHT, histogram, nice_ticks, rounds_panels
from tokensieve.storage import LocalStorage, open_storage

RUN = ("tiny-1", 0)
MINUS, DASH = "\N{MINUS SIGN}", "\N{EN DASH}"


@pytest.fixture(scope="module")
def storage(tmp_path_factory):
    storage = LocalStorage(tmp_path_factory.mktemp("report") / "workspace")
    storage.probe()
    finish_reported_run(storage)
    return storage


@pytest.fixture(scope="module")
def found(storage):
    return read_findings(storage, *RUN)


def reported(storage, name, **asked):
    return make_report(
        storage, name, **{"round": None, "against": None, "num_samples": 500} | asked
    )


def values(rows, *names):
    return [tuple(row[name] for name in names) for row in rows]


def test_rows_and_tokens_are_those_that_were_counted(found):
    stats = found.stats
    assert (stats["read_rows"], stats["samples"], stats["quarantined_rows"]) == (5, 3, 2)
    assert (stats["response_tokens"], stats["kept_tokens"], stats["dropped_tokens"]) == (8, 5, 3)
    assert values(found.rejected, "outcome", "reason", "num_rows") == [
        ("quarantined", "not_json", 2)
    ]
    assert values(found.reasons, "reason", "tokens") == [("stale", 3)]


def test_shares_are_told_by_source_and_turn(found):
    columns = ("kept_tokens", "response_tokens", "mean_influence")
    assert values(found.sources, "source", *columns) == [
        ("one", 3, 5, pytest.approx(0.4)),
        ("two", 2, 3, pytest.approx(0.0)),
    ]
    assert values(found.turns, "turn", *columns) == [
        (0, 5, 6, pytest.approx(2 / 3)),
        (1, 0, 2, pytest.approx(-1.0)),
    ]


def test_places_are_counted_anew_in_each_turn(found):
    assert values(found.positions, "bin", "response_tokens", "kept_tokens", "mean_influence") == [
        (0, 4, 3, pytest.approx(0.75)),
        (1, 4, 2, pytest.approx(-0.25)),
    ]


def test_tokens_tell_by_how_much_more_is_kept_than_by_the_share_of_the_round(found):
    assert values(found.telling_tokens, "token_id", "response_tokens", "kept_tokens", "excess") == [
        (1, 4, 2, pytest.approx(2 - 4 * 0.625)),
        (2, 2, 1, pytest.approx(1 - 2 * 0.625)),
        (3, 1, 1, pytest.approx(1 - 0.625)),
        (4, 1, 1, pytest.approx(1 - 0.625)),
    ]


def test_every_influence_and_every_number_of_the_method_is_in_a_bin(found):
    distribution = influence_distribution(found.influence_bins, found.stats)
    filled = [each for each in distribution.bins if each.tokens]
    assert len(distribution.bins) == 13  # from -1 to below 2.25
    assert filled == [
        Bin(-1.0, -0.75, 3, 0),
        Bin(0.0, 0.25, 1, 1),
        Bin(1.0, 1.25, 3, 3),
        Bin(2.0, 2.25, 1, 1),
    ]
    score = found.score_bins
    assert sum(row["tokens"] for row in score.rows) == 8
    assert sum(row["kept_tokens"] for row in score.rows) == 5


def test_what_lies_beyond_the_percentiles_is_in_the_outermost_bins():
    rows = [
        {"lower_edge": edge, "tokens": 10, "kept_tokens": 4} for edge in (-90.0, -0.5, 0.0, 70.0)
    ]
    bins = influence_distribution(rows, {"influence_p01": -0.4, "influence_p99": 0.1}).bins
    assert bins == [Bin(-0.5, -0.25, 20, 8), Bin(-0.25, 0.0, 0, 0), Bin(0.0, 0.25, 20, 8)]


@pytest.mark.parametrize(
    ("lowest", "highest", "smallest", "width"),
    [
        (0.0, 46.0, 0.0, 1.0),
        (0.0, 47.0, 0.0, 2.0),
        (-3.0, 3.0, 0.25, 0.25),
        (0.0, 5e-9, 0.0, 2e-10),
    ],
)
def test_bins_have_round_widths(lowest, highest, smallest, width):
    assert bin_width(lowest, highest, smallest) == pytest.approx(width)


@pytest.mark.parametrize("beyond", [0.0, float("inf"), float("nan")])
def test_numbers_that_do_not_differ_have_no_bins(beyond):
    assert bin_width(0.0, beyond) == 0.0


def test_bars_stand_where_their_numbers_are():
    bins = [Bin(-1.0, 0.0, 100, 0), Bin(0.0, 1.0, 50, 50)]
    drawn = histogram(Distribution(bins, "nats"), threshold=0.5)
    left, right = drawn.columns
    assert (left.x, left.width, right.x) == (0.0, 50.0, 50.0)
    assert (left.y, left.kept_y) == (0.0, HEIGHT)
    assert (right.y, right.kept_y) == (HEIGHT / 2, HEIGHT / 2)
    assert drawn.mark.place == 75.0
    assert [tick.label for tick in drawn.ticks] == [f"{MINUS}1", f"{MINUS}0.5", "0", "0.5", "1"]


def test_a_threshold_beyond_the_bins_is_not_drawn():
    assert histogram(Distribution([Bin(0.0, 1.0, 1, 1)], ""), threshold=7.0).mark is None


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [
        (0.0, 97.0, [0, 20, 40, 60, 80, 100]),
        (-2.0, 3.0, [-2, -1, 0, 1, 2, 3]),
        (2.5, 2.5, [2.5, 3.0]),
        (0.0, 0.0, [0.0, 0.2]),
    ],
)
def test_scales_have_round_numbers(low, high, ticks):
    assert nice_ticks(low, high) == pytest.approx(ticks)


def test_rounds_are_points_and_gaps_on_the_scale_of_their_panel(storage):
    row = {
        "loss_after": 2.0, "promoted": True, "kept_share": 0.5, "positive_share": None,
        "overlap": None, "influence_p95": None, "influence_p50": None, "influence_p05": None,
    }  # fmt: skip
    rounds = [row | {"round": 0}, row | {"round": 1, "loss_after": 1.0, "promoted": False}]
    loss, shares = rounds_panels(rounds)
    first, second = loss.lines[0].points
    assert (first.x, first.y, first.marker) == (25.0, 0.0, "dot")
    assert (second.x, second.y, second.marker) == (75.0, HEIGHT, "cross")
    assert [line.name for line in shares.lines] == ["kept"]
    assert [point.y for point in shares.lines[0].points] == [HEIGHT / 2, HEIGHT / 2]


def test_the_worst_and_the_best_samples_are_taken(storage):
    everything = list_extreme_samples(storage, RUN, 10)
    assert values(everything, "sample_id", "mean_influence", "num_ranked") == [
        ("a", pytest.approx(0.0), 3),
        ("b", pytest.approx(0.0), 3),
        ("c", pytest.approx(2.0), 3),
    ]
    assert [row["sample_id"] for row in list_extreme_samples(storage, RUN, 2)] == ["a", "c"]
    assert [row["sample_id"] for row in list_extreme_samples(storage, RUN, 1)] == ["a"]
    assert list_extreme_samples(storage, RUN, 0) == []


def test_without_influence_samples_are_ranked_by_kept_share(tmp_path):
    storage = LocalStorage(tmp_path)
    storage.probe()
    corpus = make_corpus(storage, [[Sample("x", "s", (0, 1)), Sample("y", "s", (0, 1, 1))]])
    finish_run(storage, "plain", [(corpus, {}, make_selection(corpus, [[1, 1, 0]]))])
    update_index(storage)
    report = reported(storage, "plain")
    assert [entry.row["sample_id"] for entry in report.samples] == ["y", "x"]
    assert report.other is None


def test_the_last_round_is_reported_beside_the_one_before(storage):
    report = reported(storage, "tiny-1")
    assert report.findings.round == 1
    assert (report.other.run, report.other.round, report.other.num_shared) == ("tiny-1", 0, 3)
    assert [(entry.row["sample_id"], entry.num_changed) for entry in report.samples] == [
        ("b", 1),
        ("a", 1),
        ("c", 0),
    ]


def test_steps_are_told_in_the_order_in_which_they_are_done(storage):
    report = reported(storage, "tiny-1", round=0)
    assert [row["step"] for row in report.steps] == [
        *("corpus", "scores.base", "scores.reference", "selection", "model")
    ]
    assert [row["seconds"] for row in report.steps] == [None, 2.0, None, None, None]


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"round": 2}, "--round: run tiny-1 has finished rounds 0 to 1, got 2"),
        ({"round": -1}, "finished rounds 0 to 1"),
        ({"against": "tiny-1"}, "is the round that is reported"),
        ({"against": "tiny-1:x"}, "not of the form RUN or RUN:ROUND"),
        ({"against": "tiny-1:9"}, "finished rounds 0 to 1"),
        ({"num_samples": -1}, "--samples: -1 is below 0"),
    ],
)
def test_what_cannot_be_reported_is_refused_with_its_flag(storage, asked, message):
    with pytest.raises(SettingsError, match=message):
        reported(storage, "tiny-1", **asked)


def test_a_run_that_shares_no_sample_is_no_comparison(storage):
    corpus = make_corpus(storage, [[Sample("z", "s", (0, 1))]])
    finish_run(storage, "apart", [(corpus, {}, make_selection(corpus, [[1]]))])
    with pytest.raises(SettingsError, match="no sample in common with round 1 of tiny-1"):
        reported(storage, "tiny-1", against="apart")


def test_a_report_may_be_asked_for_without_samples(storage):
    report = reported(storage, "tiny-1", against="tiny-1:0", num_samples=0)
    assert (report.samples, report.other.num_shared) == ([], 0)


def test_a_run_that_was_never_done_is_unknown_and_the_known_ones_are_named(storage, capsys):
    with pytest.raises(SystemExit) as exit:
        main(["report", "../tiny", "--workspace", str(storage)])
    assert exit.value.code == InputError.exit_code
    assert "unknown run '../tiny'; known: " in capsys.readouterr().err


def test_a_run_without_a_finished_round_says_what_tells_more(tmp_path):
    storage = LocalStorage(tmp_path)
    storage.probe()
    begin_run(storage, "begun")
    with pytest.raises(SettingsError, match="run begun has no finished round"):
        make_report(storage, "begun", None, None, 1)


def test_the_page_is_written_whole_and_its_place_and_size_are_told(storage, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    told = write_report(storage, "tiny-1", None, None, 500, None)
    [page] = tmp_path.iterdir()
    assert page.name == "tiny-1.html"
    assert told == "tiny-1.html (0.1 MB)"
    assert page.read_bytes().endswith(b"</body>\n</html>")


def test_numbers_are_written_as_people_read_them():
    assert wording.number(1234567) == "1,234,567"
    assert wording.number(None) == DASH
    assert wording.percent(0.6) == "60.0\u00a0%"
    assert wording.nats(-0.25) == f"{MINUS}0.250"
    assert [wording.seconds(each) for each in (0.04, 119.0, 600.0, 9000.0)] == [
        *("0.0\u00a0s", "119.0\u00a0s", "10.0\u00a0min", "2.5\u00a0h")
    ]
    assert [wording.size(each) for each in (999, 1500, 2_500_000)] == [
        *("999\u00a0B", "1.5\u00a0kB", "2.5\u00a0MB")
    ]
    assert [wording.places(bin) for bin in (0, 1, 11)] == ["1", f"2{DASH}3", f"2,048{DASH}4,095"]
    assert wording.signed_count(-1200) == f"{MINUS}1,200"


def test_names_of_users_data_are_short_and_show_what_is_unseen():
    assert wording.name("a\u202eb") == "a⟨U+202E⟩b"
    assert len(wording.name("x" * 1000)) == wording.MAX_NAME
    assert wording.token(" the\n") == "␣the⏎"


def test_a_workspace_on_s3_is_reported_to_a_file_on_this_machine(s3, tmp_path):
    storage = open_storage(s3.address(), s3.settings)
    finish_reported_run(storage)
    told = write_report(storage, "tiny-1", None, None, 500, tmp_path / "page.html")
    assert told.startswith(f"{tmp_path / 'page.html'} (")
    assert "3 samples, ranked by mean influence" in (tmp_path / "page.html").read_text()
