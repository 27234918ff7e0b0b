"""When a cleaned drop is unlike those before it, and where its figures come from."""

import math
from dataclasses import replace

import numpy as np
import pytest

from sql.drift import read_figures
from sql.index import update_index
from tests.tiny_workspace import (
    Sample,
    begin_run,
    finish_run,
    make_corpus,
    make_scores,
    make_selection,
)
from tokensieve.drift import Figures, find_alarms, influence_bins, population_stability_index
from tokensieve.runs import Round
from tokensieve.settings import DriftSettings
from tokensieve.storage import LocalStorage

NAN = float("nan")
LIMITS = DriftSettings()
HOSTILE = "'); DROP TABLE rounds; --\x1b[31m"
USUAL = Figures(
    rows=1000,
    quarantined_rows=2,
    truncated_rows=10,
    samples=998,
    empty_samples=20,
    response_tokens=100_000,
    kept_tokens=60_000,
    eos_tokens=998,
    kept_eos_tokens=500,
    influence_B=(0, 0, 0, 0, 0, 50_000, 50_000, 0, 0, 0, 0, 0),
    mean_base_nll=2.0,
    mean_reference_nll=1.75,
    base_nll_error=0.01,
    influence_error=0.01,
)
HISTORY = [USUAL] * 3


def found(figures: Figures, history=HISTORY, **limits) -> list[tuple]:
    """Return kind, source, found, usual and limit of each alarm."""
    alarms = find_alarms(figures, history, DriftSettings(**limits))
    return [(a.kind, a.source, a.found, a.usual, a.limit) for a in alarms]


def in_sources(**sources: Figures) -> Figures:
    """Return a drop that is as usual as a whole and consists of these sources."""
    return replace(USUAL, sources=sources)


def test_the_stability_index_of_two_bins_is_that_of_the_formula():
    by_hand = (0.25 - 0.5) * math.log(0.25 / 0.5) + (0.75 - 0.5) * math.log(0.75 / 0.5)

    assert population_stability_index((50, 50), (25, 75)) == pytest.approx(by_hand, abs=1e-15)
    assert by_hand == pytest.approx(0.274653, abs=1e-6)
    assert population_stability_index((25, 75), (500, 500)) == pytest.approx(by_hand, abs=1e-15)


def test_the_stability_index_of_equal_shares_is_0_whatever_the_counts():
    assert population_stability_index((1, 2, 0, 7), (1000, 2000, 0, 7000)) == 0.0


def test_an_empty_bin_counts_as_a_share_of_a_ten_thousandth():
    by_hand = (0.5 - 1) * math.log(0.5) + (0.5 - 1e-4) * math.log(0.5 / 1e-4)

    assert population_stability_index((8, 0), (3, 3)) == pytest.approx(by_hand, abs=1e-12)
    assert by_hand == pytest.approx(4.604318, abs=1e-6)


@pytest.mark.parametrize(
    ("expected", "found"), [((0, 0), (1, 1)), ((1, 1), (0, 0)), ((1,), (1, 1))]
)
def test_histograms_without_a_count_or_of_other_bins_have_no_index(expected, found):
    with pytest.raises(ValueError, match="two histograms of the same bins"):
        population_stability_index(expected, found)


def test_a_finer_histogram_is_gathered_in_bins_that_begin_at_the_edges():
    lower = [-9.25, -4.25, -4.0, -0.25, 0.0, 0.25, 3.75, 4.0, 11.5]

    bins = influence_bins(lower, [1, 2, 4, 8, 16, 32, 64, 128, 256])

    assert bins == (3, 4, 0, 0, 0, 8, 16, 32, 0, 0, 64, 384)
    assert influence_bins([], []) == (0,) * 12


def test_a_drop_like_those_before_it_raises_no_alarm():
    assert found(USUAL) == []


@pytest.mark.parametrize(
    ("changes", "alarm"),
    [
        ({"kept_tokens": 71_000}, ("kept_share", None, 0.71, 0.6, 0.1)),
        ({"kept_tokens": 49_000}, ("kept_share", None, 0.49, 0.6, 0.1)),
        ({"truncated_rows": 70}, ("truncated", None, 0.07, 0.01, 0.05)),
        ({"quarantined_rows": 30}, ("quarantined", None, 0.03, 0.002, 0.02)),
        ({"empty_samples": 499}, ("masked_samples", None, 0.5, 20 / 998, 0.05)),
        ({"mean_base_nll": 2.125}, ("mean_base_nll", None, 2.125, 2.0, 0.1)),
        ({"mean_base_nll": 1.875}, ("mean_base_nll", None, 1.875, 2.0, 0.1)),
    ],
)
def test_a_figure_beyond_its_limit_is_one_alarm(changes, alarm):
    assert found(replace(USUAL, **changes)) == [alarm]


@pytest.mark.parametrize(
    "changes",
    [
        {"kept_tokens": 69_000},
        {"truncated_rows": 55},
        {"mean_base_nll": 2.09375},
        {"mean_base_nll": 2.125, "base_nll_error": 0.03125},
        {"mean_reference_nll": NAN, "mean_base_nll": NAN, "base_nll_error": NAN},
    ],
)
def test_what_is_within_its_limit_or_by_chance_or_unknown_is_no_alarm(changes):
    assert found(replace(USUAL, **changes)) == []


def test_fewer_bad_rows_and_masked_samples_than_before_are_no_alarm():
    worse = replace(USUAL, truncated_rows=500, quarantined_rows=300, empty_samples=400)

    assert found(USUAL, [worse] * 3) == []


def test_influence_is_compared_with_all_earlier_drops_together():
    other = (0, 0, 0, 0, 0, 25_000, 75_000, 0, 0, 0, 0, 0)
    history = [USUAL, USUAL, replace(USUAL, influence_B=(0,) * 5 + (100, 100) + (0,) * 5)]

    [(kind, source, psi, usual, limit)] = found(replace(USUAL, influence_B=other), history)

    assert (kind, source, usual, limit) == ("psi", None, None, 0.1)
    assert psi == pytest.approx(0.274653, abs=1e-6)
    assert found(replace(USUAL, influence_B=other), history, psi=0.28) == []


def test_without_influences_there_is_no_index():
    nothing = replace(USUAL, influence_B=(0,) * 12)

    assert found(nothing) == found(USUAL, [nothing] * 3) == []


def test_nothing_is_compared_before_there_are_enough_drops():
    odd = replace(USUAL, kept_tokens=1000, truncated_rows=900, influence_B=(9,) * 12)

    assert found(odd, []) == found(odd, HISTORY[:1]) == found(odd, HISTORY[:2]) == []
    assert [kind for kind, *_ in found(odd)] == ["truncated", "kept_share", "psi"]
    assert [kind for kind, *_ in found(odd, HISTORY[:1], min_history=1)] == [
        *("truncated", "kept_share", "psi"),
    ]


def test_the_usual_figure_is_the_median_so_one_odd_drop_does_not_move_it():
    history = [USUAL, USUAL, replace(USUAL, kept_tokens=0)]

    assert found(replace(USUAL, kept_tokens=40_000), history)[0][3] == 0.6


@pytest.mark.parametrize(
    ("changes", "alarm"),
    [
        ({"kept_tokens": 0, "kept_eos_tokens": 0}, ("nothing_kept", None, 0, None, 0)),
        ({"kept_eos_tokens": 0}, ("eos_never_trained", None, 0, None, 0)),
        ({"eos_tokens": 0, "kept_eos_tokens": 0}, ("eos_never_trained", None, 0, None, 0)),
        ({"mean_reference_nll": 2.0625}, ("reference_worse", None, 2.0625, None, 2.0)),
    ],
)
def test_what_is_wrong_in_itself_is_an_alarm_from_the_first_drop_on(changes, alarm):
    assert found(replace(USUAL, **changes), []) == [alarm]


@pytest.mark.parametrize(
    "changes",
    [
        {"mean_reference_nll": 2.03125},  # within four standard errors
        {"mean_reference_nll": 9.0, "influence_error": NAN},
        {"mean_base_nll": NAN},
        {"response_tokens": 0, "kept_tokens": 0, "eos_tokens": 0, "kept_eos_tokens": 0},
    ],
)
def test_what_is_not_known_or_may_be_chance_is_not_wrong_in_itself(changes):
    assert found(replace(USUAL, **changes), []) == []


def test_a_source_is_judged_against_its_own_history():
    few = replace(USUAL, kept_tokens=10_000)
    history = [in_sources(web=few, wiki=USUAL)] * 3

    assert found(in_sources(web=few, wiki=USUAL), history) == []
    assert found(in_sources(web=USUAL, wiki=few), history) == [
        ("kept_share", "web", 0.6, 0.1, 0.1),
        ("kept_share", "wiki", 0.1, 0.6, 0.1),
    ]


def test_a_new_source_and_one_of_few_tokens_are_compared_with_nothing():
    odd = replace(USUAL, kept_tokens=1000)
    few = replace(odd, response_tokens=9_999, kept_eos_tokens=0, mean_reference_nll=9.0)
    history = [in_sources(web=few, wiki=USUAL)] * 3

    assert found(in_sources(new=odd, web=few, wiki=USUAL), history) == []
    assert found(in_sources(web=USUAL, wiki=USUAL), history) == []
    assert [(kind, source) for kind, source, *_ in found(in_sources(new=odd, web=few), [])] == []


def test_a_source_that_is_lost_in_quarantine_is_told_though_hardly_a_token_is_left():
    lost = replace(USUAL, quarantined_rows=990, response_tokens=40, kept_tokens=0, samples=10)
    history = [in_sources(web=USUAL, wiki=USUAL)] * 3

    assert found(in_sources(web=lost, wiki=USUAL), history) == [
        ("quarantined", "web", 0.99, 0.002, 0.02)
    ]


def test_the_only_source_of_a_drop_is_the_drop_and_is_told_once():
    odd = replace(USUAL, kept_tokens=1000)

    assert found(replace(odd, sources={"web": odd}), [in_sources(web=USUAL)] * 3) == [
        ("kept_share", None, 0.01, 0.6, 0.1)
    ]


def test_what_holds_for_every_source_is_said_once_and_else_of_the_source():
    mute = replace(USUAL, kept_eos_tokens=0)

    assert found(replace(mute, sources={"web": mute, "wiki": mute}), []) == [
        ("eos_never_trained", None, 0, None, 0)
    ]
    assert found(in_sources(web=mute, wiki=USUAL), []) == [("eos_never_trained", "web", 0, None, 0)]


def test_alarms_are_sentences_with_the_numbers_and_without_control_characters():
    odd = replace(USUAL, kept_tokens=40_000, mean_base_nll=2.5, influence_B=(0,) * 11 + (7,))
    texts = [alarm.text for alarm in find_alarms(odd, HISTORY, LIMITS)]
    history = [in_sources(**{HOSTILE: USUAL, "wiki": USUAL})] * 3
    quarantined = replace(USUAL, quarantined_rows=500)
    [of_source] = find_alarms(in_sources(**{HOSTILE: quarantined, "wiki": USUAL}), history, LIMITS)

    assert texts == [
        "the drop: 40.0 % of the response tokens are kept, 60.0 % before (limit: 10 points)",
        "the drop: the mean loss of the base is 2.500 nats, 2.000 before (limit: 0.1)",
        "the drop: influence is spread otherwise than before: PSI 17.725 (limit 0.1)",
    ]
    assert of_source.text == (
        'source "\'); DROP TABLE rounds; --\\x1b[31m": 50.0 % of the rows are quarantined, 0.2 % '
        "before (limit: 2 points)"
    )


@pytest.fixture
def storage(tmp_path):
    storage = LocalStorage(tmp_path / "workspace")
    storage.probe()
    return storage


def clean_drop(storage, name, samples, base, reference, weights, rejected=()) -> None:
    """Finish a run that cleaned one drop of one shard, in which samples have at most 5 tokens."""
    corpus = make_corpus(storage, [samples], rejected=rejected)
    scores = {"base": make_scores(corpus, "base", [base])}
    if reference:
        scores["reference"] = make_scores(corpus, "reference", [reference])
    selection = make_selection(corpus, [weights], scores=scores)
    settings = {"method": "fixed-model", "max_length": 5}
    run = begin_run(storage, name, corpora={"drop": corpus.id}, settings=settings)
    round = Round(
        round=0,
        corpus=corpus.id,
        scores={role: artifact.id for role, artifact in scores.items()},
        selection=selection.id,
    )
    run.begin_round(storage, round)
    run.finish_round(storage, round)


WEB = [Sample("a", "web", (1, 2, 3, 4, 0)), Sample("b", "web", (1, 2, 0))]
WIKI = [Sample("c", "wiki", (1, 5, 0))]
REJECTED = [
    {"outcome": "quarantined", "source": "web", "reason": "wrong_type"},
    {"outcome": "quarantined", "source": "lost", "reason": "wrong_type"},
    {"outcome": "skipped", "source": "wiki", "reason": "target_truncated_away"},
    *[{"outcome": "skipped", "source": "wiki", "reason": "no_target"}] * 2,
]


def test_the_figures_of_a_drop_are_read_from_the_index_as_a_whole_and_by_source(storage):
    base = [2.0, 2.0, 5.0, 3.0, 4.0, 2.0, 1.0, 0.5]
    reference = [1.0, 3.0, 0.0, 3.0, 4.0, 2.0, 1.0, 1.0]
    weights = [1.0, 0.0, 1.0, 1.0, 0.0, 0.0, 1.0, 0.0]
    clean_drop(storage, "first", [*WEB, *WIKI], base, reference, weights, REJECTED)
    update_index(storage)

    figures = read_figures(storage, ["absent", "first"])

    squares = (4 * (3.0 - 2.4375)) ** 2 + (2 * (3.0 - 2.4375)) ** 2 + (2 * (0.75 - 2.4375)) ** 2
    influence = (4 * (1.25 - 0.5625)) ** 2 + (2 * -0.5625) ** 2 + (2 * (-0.25 - 0.5625)) ** 2
    sources = figures["first"].sources
    assert figures == {
        "first": Figures(
            rows=8,
            quarantined_rows=2,
            truncated_rows=2,
            samples=3,
            empty_samples=1,
            response_tokens=8,
            kept_tokens=4,
            eos_tokens=3,
            kept_eos_tokens=1,
            influence_B=(0, 0, 0, 1, 1, 0, 4, 0, 0, 1, 0, 1),
            mean_base_nll=19.5 / 8,
            mean_reference_nll=15 / 8,
            base_nll_error=pytest.approx(math.sqrt(squares * 3 / 2) / 8, abs=1e-12),
            influence_error=pytest.approx(math.sqrt(influence * 3 / 2) / 8, abs=1e-12),
            sources=sources,
        )
    }
    assert list(sources) == ["lost", "web", "wiki"]
    assert sources["web"] == Figures(
        rows=3,
        quarantined_rows=1,
        truncated_rows=1,
        samples=2,
        empty_samples=1,
        response_tokens=6,
        kept_tokens=3,
        eos_tokens=2,
        kept_eos_tokens=1,
        influence_B=(0, 0, 0, 1, 0, 0, 3, 0, 0, 1, 0, 1),
        mean_base_nll=3.0,
        mean_reference_nll=13 / 6,
        base_nll_error=0.0,
        influence_error=pytest.approx(5 / 9, abs=1e-12),
    )
    assert (sources["wiki"].rows, sources["wiki"].truncated_rows) == (4, 1)
    assert math.isnan(sources["wiki"].base_nll_error)
    assert (sources["lost"].rows, sources["lost"].quarantined) == (1, 1.0)
    assert math.isnan(sources["lost"].mean_base_nll)


def random_drop(storage, name, shift=0.0, seed=0, num_samples=100) -> None:
    """Clean a drop of two sources, whose losses of the base in `web` are `shift` nats higher."""
    draw = np.random.default_rng([seed, *name.encode()])
    ids = range(num_samples)
    samples = [Sample(f"{name}-{n}", ("web", "wiki")[n % 2], (1, 2, 3, 4, 0)) for n in ids]
    reference = draw.exponential(1.0, (num_samples, 4))
    base = reference + draw.normal(0.5, 1.0, (num_samples, 4))
    base[::2] += shift
    weights = (base - reference > 0.25).astype(float)
    flat = (each.astype(np.float32).ravel().tolist() for each in (base, reference, weights))
    clean_drop(storage, name, samples, *flat)


def alarms_of(storage, name, earlier) -> list[tuple]:
    limits = DriftSettings(min_tokens=100, truncated=1.0)
    figures = read_figures(storage, [*earlier, name])
    alarms = find_alarms(figures.pop(name), list(figures.values()), limits)
    return [(alarm.kind, alarm.source) for alarm in alarms]


def test_of_cleaned_drops_only_the_shifted_source_of_the_shifted_one_is_told(storage):
    earlier = ["d1", "d2", "d3", "d4"]
    for name in [*earlier, "same"]:
        random_drop(storage, name)
    random_drop(storage, "shifted", shift=1.0)
    update_index(storage)

    assert alarms_of(storage, "same", earlier) == []
    assert alarms_of(storage, "shifted", earlier) == [
        *[(kind, None) for kind in ("kept_share", "mean_base_nll", "psi")],
        *[(kind, "web") for kind in ("kept_share", "mean_base_nll", "psi")],
    ]


def test_a_drop_of_a_method_that_asks_no_model_has_only_shares(storage):
    corpus = make_corpus(storage, [[*WEB, *WIKI]])
    finish_run(storage, "plain", [(corpus, {}, make_selection(corpus, [[1.0] * 8]))])
    update_index(storage)

    figures = read_figures(storage, ["plain"])["plain"]

    assert (figures.kept_share, figures.kept_eos_tokens, figures.influence_B) == (1.0, 3, (0,) * 12)
    assert math.isnan(figures.mean_base_nll)
    assert find_alarms(figures, [figures] * 3, LIMITS) == ()


def test_two_runs_over_one_corpus_count_its_rejected_rows_once(storage):
    for name in ("first", "second"):
        clean_drop(storage, name, WIKI, [1.0, 1.0], None, [1.0, 1.0], REJECTED[:1])
    update_index(storage)

    figures = read_figures(storage, ["first", "second"])

    assert [(each.rows, each.quarantined_rows) for each in figures.values()] == [(2, 1), (2, 1)]
