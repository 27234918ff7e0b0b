"""Maps of tokens: what became of each, read from artifacts, and shown in a terminal."""

import re

import numpy as np
import pyarrow.parquet as pq
import pytest

import sql
from sql.index import update_index
from tasks.show import Wanted, describe_sample
from tests.reading import rows
from tests.tiny_maps import EVERY_KIND, HOSTILE, NAN, OTHER, map_of
from tests.tiny_runs import chosen_in_training
from tests.tiny_workspace import (
    Sample,
    finish_run,
    make_corpus,
    make_scores,
    make_selection,
)
from tokensieve.errors import DamagedError, SettingsError
from tokensieve.storage import LocalStorage
from tokensieve.token_maps.diff import differences
from tokensieve.token_maps.scales import Scale, scales_of
from tokensieve.token_maps.terminal import diff_lines, map_lines

SHARDS = [
    [Sample("s0", "wiki", (1, 2, 3, 4)), Sample("twice", "web", (0, 1, 2))],
    [Sample("twice", "web", (0, 5, 5)), Sample("t1", "wiki", (5, 6, 7), (0, 1, 1))],
    [Sample("s10", "web", (0, 9))],
]
BASE = [[3.0, 2.0, NAN, 1.0, 5.0], [4.0, 0.5], [1.5]]
REFERENCE = [[1.0, 2.5, 1.0, 0.5, NAN], [3.0, 2.5], [0.25]]
WEIGHT = [[1.0, 0.0, -0.5, 0.25, 0.0], [0.0, 1.0], [1.0]]
UNSCORABLE = [[False, False, False, False, True], [False, False], [False]]
REASONS = [["", "plain", "noise", "", ""], ["plain", ""], [""]]
SGR = re.compile(r"\x1b\[[\d;]*m")


@pytest.fixture(scope="module")
def storage(tmp_path_factory):
    """A workspace of two runs: one of a base, one of two models and reasons, over three shards."""
    storage = LocalStorage(tmp_path_factory.mktemp("it's a place"))
    storage.probe()
    corpus = make_corpus(storage, SHARDS, duplicates={"1": [0]})
    base = make_scores(corpus, "base", BASE, non_finite=1)
    both = {"base": base, "reference": make_scores(corpus, "reference", REFERENCE, non_finite=1)}
    plain = make_selection(corpus, [[1.0] * 5, [1.0] * 2, [0.0]], scores={"base": base})
    finish_run(storage, "plain", [(corpus, {"base": base}, plain)])
    reasoned = make_selection(corpus, WEIGHT, UNSCORABLE, both, reasons=REASONS)
    finish_run(storage, "rho-1", [(corpus, both, plain), (corpus, both, reasoned)])
    update_index(storage)
    return storage


# --- read from artifacts


def test_a_map_holds_everything_that_is_said_of_a_sample(storage):
    [found] = sql.read_token_maps(storage, "rho-1", 1, ["s0"])

    assert (found.run, found.round, found.sample_id, found.source) == ("rho-1", 1, "s0", "wiki")
    assert found.texts == ("a", "␀", "'; DROP TABLE rounds; --", "⟨U+202E⟩")
    assert found.token_ids_T.tolist() == [1, 2, 3, 4]
    assert found.response_T.tolist() == [False, True, True, True]
    np.testing.assert_array_equal(found.weight_T, np.float32([NAN, 1.0, 0.0, -0.5]))
    np.testing.assert_array_equal(found.columns["base_nll"], np.float32([NAN, 3.0, 2.0, NAN]))
    np.testing.assert_array_equal(found.columns["influence"], np.float32([NAN, 2.0, -0.5, NAN]))
    assert found.words == {"reason": (None, None, "plain", "noise")}
    assert found.decided_T is None
    assert found.outcomes == ("prompt", "kept", "dropped", "unlearned")


def test_maps_come_in_the_order_asked_for_from_whatever_shard(storage):
    found = sql.read_token_maps(storage, "rho-1", 1, ["s10", "t1", "s0", "t1"])

    assert [each.sample_id for each in found] == ["s10", "t1", "s0", "t1"]
    assert [each.columns["reference_nll"][-1] for each in found] == [0.25, 2.5, 1.0, 2.5]
    assert found[1].turn_T.tolist() == [0, 1, 1]
    assert sql.read_token_maps(storage, "rho-1", 1, []) == []


def test_of_rows_with_the_same_id_the_one_that_is_used_is_read(storage):
    [found] = sql.read_token_maps(storage, "rho-1", 1, ["twice"])

    assert found.token_ids_T.tolist() == [0, 1, 2]
    assert found.outcomes == ("prompt", "kept", "unscorable")


def test_a_token_that_the_vocabulary_lacks_is_its_number(storage):
    [found] = sql.read_token_maps(storage, "plain", 0, ["s10"])

    assert found.texts == ("<s>", "⟨9⟩")
    assert sorted(found.columns) == ["base_entropy", "base_nll", "score"]


def test_maps_say_of_every_token_what_the_view_says(storage):
    ids = ["s0", "t1", "twice", "s10"]
    found = sql.read_token_maps(storage, "rho-1", 1, ids)
    said = rows(
        storage,
        "SELECT sample_id, position, influence, weight, score, reason FROM tokens"
        " WHERE run = 'rho-1' AND round = 1",
    )

    assert len(said) == sum(int(each.response_T.sum()) for each in found)
    for sample, position, influence, weight, score, reason in said:
        each = found[ids.index(sample)]
        numbers = each.columns["influence"], each.weight_T, each.columns["score"]
        shown = [float(value_T[position]) for value_T in numbers]
        expected = [NAN if value is None else value for value in (influence, weight, score)]
        np.testing.assert_array_equal(shown, expected)
        assert each.words["reason"][position] == reason


def test_what_training_decided_comes_before_what_could_be_chosen(tmp_path):
    storage = LocalStorage(tmp_path)
    storage.probe()
    chosen_in_training(storage)
    update_index(storage)

    [found] = sql.read_token_maps(storage, "online-1", 0, ["a"])

    assert found.weight_T[1:].tolist() == [1, 1, 1]
    assert found.decided_T[1:].tolist() == [1, 0, 0]
    assert found.outcomes == ("prompt", "kept", "dropped", "dropped")


@pytest.mark.parametrize(
    ("run", "round", "ids", "says"),
    [
        ("rho-1", 7, ["s0"], "no round 7 of run 'rho-1'"),
        ("nobody", 0, ["s0"], "no round 0 of run 'nobody'"),
        ("rho-1", 1, ["s0", "x\x1b", "y"], r"no sample 'x\x1b' and 1 more"),
    ],
)
def test_what_is_not_there_is_named(storage, run, round, ids, says):
    with pytest.raises(SettingsError, match=re.escape(says)):
        sql.read_token_maps(storage, run, round, ids)


def test_scores_that_lack_a_sample_are_damaged(tmp_path):
    storage = LocalStorage(tmp_path)
    storage.probe()
    corpus = make_corpus(storage, [[Sample("s0", "wiki", (0, 1))]])
    finish_run(storage, "r", [(corpus, {}, make_selection(corpus, [[1.0]]))])
    update_index(storage)
    [(file,)] = rows(
        storage, "SELECT file FROM shards WHERE kind = 'selections' AND part = 'shards'"
    )
    path = storage.root / file
    path.chmod(0o644)
    pq.write_table(pq.read_table(path).slice(0, 0), path)

    with pytest.raises(DamagedError, match="lacks a sample of its corpus"):
        sql.read_token_maps(storage, "r", 0, ["s0"])


# --- what became of tokens


def test_the_outcomes_are_five():
    assert EVERY_KIND.outcomes == (
        *("prompt", "prompt", "kept", "dropped", "dropped", "unlearned", "kept", "unscorable"),
    )


def test_two_maps_differ_in_what_they_keep():
    assert differences(EVERY_KIND, OTHER) == (
        *("prompt", "prompt", "both", "right", "neither", "neither", "left", "neither"),
    )


def test_maps_of_other_tokens_are_not_compared():
    shorter = map_of(["Why", "?"], [NAN, 1.0], run="short\x1b")

    with pytest.raises(SettingsError, match=r"has 8 tokens in one and 2 in the other.*tokenizer"):
        differences(EVERY_KIND, shorter)


def test_a_scale_is_of_all_maps_and_diverges_where_both_signs_are():
    low = map_of(["a", "b"], [0.0, 1.0], {"influence": [-8.0, NAN], "base_nll": [1.0, NAN]})
    high = map_of(["a", "b"], [0.0, 1.0], {"influence": [4.0, NAN], "base_nll": [5.0, NAN]})

    influence, score, nll = scales_of([low, high])

    assert (influence.name, influence.unit, influence.diverging) == ("influence", "nats", True)
    assert (influence.middle, influence.reach) == (0.0, pytest.approx(7.88))
    assert [influence.step(value) for value in (-100, -4, -0.5, NAN, 1, 8)] == [-4, -2, 0, 0, 1, 4]
    assert (score.name, score.unit, score.diverging) == ("score", "", False)
    assert (nll.middle, nll.reach) == (pytest.approx(1.04), pytest.approx(3.92))
    assert [nll.step(value) for value in (0, 1, 3, 9)] == [0, 0, 2, 4]


def test_a_column_of_one_number_has_a_scale():
    [scale] = scales_of([map_of(["a"], [1.0])])

    assert scale == Scale("score", "", False, 1.0, 1.0)


# --- in a terminal


def test_without_colours_what_was_not_kept_is_marked():
    lines = map_lines(EVERY_KIND, None, is_coloured=False)

    assert lines[:7] == [
        "s-1",
        "source wiki",
        "rho-1, round 0",
        "8 tokens, 6 in the response",
        "2 kept (33.3 %), 1 unlearned, 1 unscorable",
        "mean influence 1.28 nats",
        "mean base_nll 2.62 nats",
    ]
    assert lines[8:12] == [
        "Why?⏎",
        "The[- sum is-]{- 7-}.⏎",
        "(?End?)",
        "",
    ]
    assert lines[12] == "[-dropped-] {-unlearned-} (?unscorable?)"
    assert lines[14:] == [
        "influence (nats), lowest first",
        "position  influence  score  base_nll  token   outcome  reason",
        "       3         -1     -1         1  ' sum'  dropped  too plain",
        "       4     0.1235  0.125         2  ' is'   dropped  -",
        "       2          2      2         3  'The'   kept     -",
        "       6          4      4       4.5  '.⏎'    kept     -",
    ]


def test_colours_say_the_same_in_styles_and_leave_the_text_as_it_is():
    plain = map_lines(map_of(["a", "b\n"], [1.0, 1.0]), None, is_coloured=False)
    coloured = map_lines(map_of(["a", "b\n"], [1.0, 1.0]), None, is_coloured=True)
    text = map_lines(EVERY_KIND, None, is_coloured=True)[8:11]

    colours = [" 1.2   1.5   1.8   2  score", ""]
    assert [SGR.sub("", line) for line in coloured] == [*plain[:9], *colours, *plain[9:]]
    assert [SGR.sub("", line) for line in text] == ["Why?⏎", "The sum is 7.⏎", "End"]
    assert "\x1b[9;38;5;16;48;5;230m sum\x1b[0m" in text[1]
    assert all(line.endswith("\x1b[0m") for line in text)


def test_the_ends_of_a_long_sample_are_told():
    values = [float(value) for value in range(40)]
    lines = map_lines(map_of(["x"] * 40, [1.0] * 40, {"score": values}), "score", False)

    lowest, highest = lines.index("lowest score"), lines.index("highest score")
    assert [line.split()[0] for line in lines[lowest + 2 : lowest + 10]] == list("01234567")
    assert [line.split()[0] for line in lines[highest + 2 :]] == [str(39 - n) for n in range(8)]


def test_two_maps_are_one_text():
    lines = diff_lines(EVERY_KIND, OTHER, is_coloured=False)

    assert lines == [
        "s-1",
        "A: rho-1, round 0",
        "B: sieve-2, round 3",
        "kept in both: 1, only in A: 1, only in B: 1, in neither: 3",
        "",
        "Why?⏎",
        "The{+ sum+}(- is 7-)[-.⏎",
        "-](-End-)",
        "",
        "[-only in A-] {+only in B+} (-in neither-)",
        "",
    ]


def test_nothing_of_users_data_reaches_a_terminal():
    hostile = map_of(
        HOSTILE, [NAN, *[0.0] * 6], sample_id="\x1b]0;t\x07", source="\u202e", run="\x9b"
    )

    for lines in (map_lines(hostile, None, False), diff_lines(hostile, hostile, False)):
        assert [line for line in lines if not line.isprintable()] == []


# --- the command


def described(storage, sample, coloured=False, **wanted):
    return describe_sample(storage, Wanted(sample, **wanted), coloured)


def test_a_beginning_that_no_other_sample_has_is_enough(storage):
    shown = described(storage, "tw", run="plain")

    assert shown.splitlines()[:3] == ["twice", "source web", "plain, round 0"]
    assert shown.endswith("also in rho-1:0, rho-1:1")


def test_an_id_that_begins_another_one_is_meant_itself(storage):
    assert described(storage, "s0", run="rho-1").startswith("s0\n")


def test_a_run_shows_its_last_round_unless_another_is_given(storage):
    assert "rho-1, round 1" in described(storage, "s0", run="rho-1")
    assert "rho-1, round 0" in described(storage, "s0", run="rho-1", round=0)


def test_another_round_is_laid_beside_it(storage):
    shown = described(storage, "s0", run="rho-1", diff="plain")

    assert shown.splitlines()[1:4] == [
        "A: rho-1, round 1",
        "B: plain, round 0",
        "kept in both: 1, only in A: 0, only in B: 2, in neither: 0",
    ]
    assert "B: rho-1, round 0" in described(storage, "s0", run="rho-1", diff="rho-1:0")


def test_everything_of_one_token_is_told_for_each_round(storage):
    shown = described(storage, "s0", run="rho-1", position=2)
    of_one = described(storage, "s0", run="rho-1", round=1, position=2).splitlines()

    assert shown.count("sample_id ") == 2
    assert "influence          -0.5" in of_one
    assert "reason             plain" in of_one
    assert len(of_one) == len(shown.splitlines()) // 2


@pytest.mark.parametrize(
    ("wanted", "says"),
    [
        ({"sample": "x"}, "SAMPLE_ID: 'x' begins the id of no sample of any run"),
        ({"sample": "s"}, "SAMPLE_ID: 's' begins the ids of several samples: 's0', 's10'"),
        ({"sample": "s0", "run": "x"}, "no sample of run 'x'"),
        ({"sample": "s0", "run": "rho-1", "round": 5}, "--round: round 5 of run 'rho-1' does not"),
        ({"sample": "s0", "run": "rho-1", "diff": "rho-1"}, "--diff: rho-1:1 is what is shown"),
        ({"sample": "s0", "run": "rho-1", "diff": "x"}, "--diff: run 'x' does not have the sample"),
        ({"sample": "s0", "run": "rho-1", "diff": "plain:x"}, "not of the form RUN or RUN:ROUND"),
        ({"sample": "s0", "run": "rho-1", "column": "x"}, "--column: 'x' is not a column of"),
        ({"sample": "s0", "run": "rho-1", "position": 0}, "no round of run 'rho-1'"),
    ],
)
def test_what_cannot_be_shown_is_explained(storage, wanted, says):
    with pytest.raises(SettingsError, match=re.escape(says)):
        describe_sample(storage, Wanted(**wanted), is_coloured=False)
