"""What policies overrode: on record in the selection, the index, the summary and the history."""

import math

import pytest

from sql import connect_published, run
from sql.drift import read_figures
from sql.index import update_index
from sql.statements import rows as all_rows
from tasks.history import describe_history
from tasks.policies import told_policies
from tests.reading import rows
from tests.tiny_models import build_tiny_model
from tests.tiny_workspace import Sample, finish_run, make_corpus, make_scores
from tokensieve.drift import find_alarms
from tokensieve.evidence import EvidenceReader
from tokensieve.methods import Selector, Source, chosen_method, deferred
from tokensieve.models import ModelPlace
from tokensieve.planning import frozen_thresholds
from tokensieve.planning.frozen import with_frozen_thresholds
from tokensieve.planning.policies import with_policies
from tokensieve.planning.steps import selection_step
from tokensieve.policies import Policies
from tokensieve.selection import selection_tables
from tokensieve.settings import DriftSettings, PolicySettings, S3Settings, SelectionSettings
from tokensieve.storage import LocalStorage

SAMPLES = [
    [Sample("s0", "wiki", (3, 4, 5, 6, 0)), Sample("s1", "web", (3, 4, 5, 0))],
    [Sample("s2", "wiki", (3, 4, 0)), Sample("s3", "web", (3, 6, 5, 4, 0))],
]
"""Each ends with <s>, which is special to the tokenizer and to the vocabulary of the corpus."""
INFLUENCE = [[9, 8, 7, 1, 6, 5, 0], [4, 0, 3, 2, 1, 0]]


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return str(build_tiny_model(tmp_path_factory.mktemp("base"), hidden=16))


@pytest.fixture
def storage(tmp_path):
    return LocalStorage(tmp_path / "workspace")


def step_of(
    storage,
    base,
    policies,
    frozen=None,
    samples=SAMPLES,
    influence=INFLUENCE,
    reference=None,
    **selection,
):
    corpus = make_corpus(storage, samples)
    reference = reference or [[0.0] * len(each) for each in influence]
    scores = {
        "base": make_scores(corpus, "base", influence),
        "reference": make_scores(corpus, "reference", reference),
    }
    step = selection_step(corpus, scores, SelectionSettings(**{"keep": 0.5} | selection))
    step = step if frozen is None else with_frozen_thresholds(step, frozen)
    return with_policies(step, PolicySettings(**policies), ModelPlace(base, S3Settings()))


def select(step):
    """Make the selection of a step as its task does; return its commit."""
    method = chosen_method(step.settings)
    acts = deferred(method) if method.each_step else method
    source = Source(EvidenceReader(step.corpus, step.scores, acts.columns, 0).read, 2)
    selector = Selector.of(acts, step.settings, source)
    if step.frozen is not None:
        thresholds = frozen_thresholds(step.frozen, step.artifact)
        selector = Selector.frozen(acts, step.settings, thresholds)
    step.artifact.declare()
    for number in range(2):
        seen = source.read(number)
        decision = selector.decide(seen)
        if step.overriding is not None:
            settings, place = step.overriding.settings, step.overriding.base
            policies = Policies.of(settings, place.path, method.each_step)
            decision = policies.decide(decision, seen, selector.rule)
        step.artifact.publish(number, *selection_tables(seen.shard, decision, True))
    return step.artifact.commit(
        {"thresholds": {n: vars(t) for n, t in selector.thresholds.items()}}
    )


def finished(storage, base, name, policies, **given):
    """Finish and index a run with these policies; return its commit."""
    step = step_of(storage, base, policies, **given)
    commit = select(step)
    finish_run(storage, name, [(step.corpus, step.scores, step.artifact)])
    update_index(storage)
    return commit


POLICIES = {"protect": ("eos",), "min_kept_tokens": 2}


def test_commit_and_index_say_how_many_tokens_each_policy_kept_by_source(storage, base):
    commit = finished(storage, base, "policed", POLICIES)

    found = rows(storage, "SELECT * FROM policy_stats ORDER BY ALL")
    assert found == [
        ("policed", 0, "web", "eos", 2, 0),
        ("policed", 0, "web", "min_kept_tokens", 1, 0),
        ("policed", 0, "wiki", "eos", 2, 0),
    ]
    assert {
        name: n for name, n in commit.totals.items() if "kept" in name or "dropped" in name
    } == {
        "kept_tokens": 11,
        "dropped_tokens": 2,
        "eos_kept_tokens": 4,
        "eos_dropped_tokens": 0,
        "min_kept_tokens_kept_tokens": 1,
        "min_kept_tokens_dropped_tokens": 0,
    }
    counted = "SELECT name, value FROM counts WHERE name LIKE 'eos%' ORDER BY ALL"
    assert rows(storage, counted) == [("eos_dropped_tokens", 0), ("eos_kept_tokens", 4)]


def test_what_smoothing_kept_and_dropped_is_counted_over_all_shards(storage, base):
    samples = [[Sample(f"s{n}", "wiki", (3, 4, 4, 5, 4, 4))] for n in range(2)]
    influence = [[9, 9, 0, 9, 9], [1, 1, 9, 1, 1]]

    commit = finished(
        storage, base, "smoothed", {"smooth_spans": 2}, samples=samples, influence=influence
    )

    assert rows(storage, "FROM policy_stats") == [("smoothed", 0, "wiki", "smooth_spans", 1, 1)]
    assert commit.totals["smooth_spans_kept_tokens"] == 1
    assert commit.totals["smooth_spans_dropped_tokens"] == 1
    assert describe_history(storage, "smoothed").splitlines()[-1] == (
        "round 0: against the method smooth_spans kept 1 and dropped 1: kept are 50.0 %, not 50.0 %"
    )
    told = "SELECT sample_id, position, weight FROM tokens WHERE policy = 'smooth_spans'"
    assert sorted(rows(storage, told)) == [("s0", 3, 1), ("s1", 3, 0)]


def test_the_views_name_the_policy_of_each_token(storage, base):
    finished(storage, base, "policed", POLICIES)
    finished(storage, base, "plain", {})

    tokens = "SELECT position, weight, policy FROM tokens WHERE sample_id = 's3' AND run = '{}'"
    assert rows(storage, tokens.format("policed") + " ORDER BY position") == [
        (1, 1, "min_kept_tokens"),
        (2, 0, None),
        (3, 0, None),
        (4, 1, "eos"),
    ]
    assert [row[2] for row in rows(storage, tokens.format("plain"))] == [None] * 4
    assert rows(storage, "SELECT count(*) FROM policy_stats WHERE run = 'plain'") == [(0,)]


def test_history_tells_what_each_policy_kept_and_what_that_makes_of_the_share(storage, base):
    finished(storage, base, "policed", POLICIES)

    assert describe_history(storage, "policed").splitlines()[-1] == (
        "round 0: against the method eos kept 4; min_kept_tokens kept 1: "
        "kept are 84.6 %, not 46.2 %"
    )


def test_a_policy_that_dropped_says_so_and_one_that_changed_nothing_says_that(storage, base):
    changes = [
        {
            "policy": "smooth_spans",
            "kept_tokens": 1_512,
            "dropped_tokens": 7,
            "kept_share": 0.62,
            "kept_by_method": 0.6,
        }
    ]

    assert told_policies(changes) == (
        "against the method smooth_spans kept 1,512 and dropped 7: kept are 62.0 %, not 60.0 %"
    )
    assert told_policies([]) == "changed nothing about what the method kept"


def test_protected_eos_is_trained_so_that_no_alarm_says_that_it_never_is(storage, base):
    limits = DriftSettings(min_tokens=1)
    for name, policies in (("plain", {}), ("policed", {"protect": ("eos",)})):
        finished(storage, base, name, policies)

    figures = read_figures(storage, ["plain", "policed"])

    kinds = {
        name: [alarm.kind for alarm in find_alarms(figures[name], [], limits)] for name in figures
    }
    assert kinds == {"plain": ["eos_never_trained"], "policed": []}
    assert (figures["plain"].kept_eos_tokens, figures["policed"].kept_eos_tokens) == (0, 4)


def test_thresholds_that_are_frozen_are_those_of_the_method_and_policies_come_after(storage, base):
    plain = step_of(storage, base, {})
    select(plain)
    policed = step_of(storage, base, POLICIES)
    select(policed)

    for first in (plain, policed):
        frozen = step_of(storage, base, POLICIES, frozen=first.artifact)
        commit = select(frozen)

        assert (commit.totals["kept_tokens"], commit.totals["eos_kept_tokens"]) == (11, 4)
        assert frozen.artifact.plan["policies"] == policed.artifact.plan["policies"]


def test_the_selection_of_a_method_that_decides_in_training_says_what_is_protected(storage, base):
    reference = [[0, 0, 0, math.nan, 0, 0, 0], [0] * 6]  # of the first EOS there is no score
    step = step_of(storage, base, {"protect": ("eos",)}, reference=reference, method="rho-1")

    commit = select(step)

    table = step.artifact.read_table(commit.receipts[0], "shards")
    assert table["protected"].to_pylist() == [[None] * 5, [None, None, None, "eos"]]
    assert "policy" not in table.column_names
    assert commit.totals["kept_tokens"] == 12
    finish_run(storage, "later", [(step.corpus, step.scores, step.artifact)])
    update_index(storage)
    assert rows(storage, "SELECT count(*) FROM policy_stats") == [(0,)]
    assert rows(storage, "SELECT count(protected) FROM tokens WHERE protected = 'eos'") == [(3,)]
    with connect_published(storage) as connection:
        assert all_rows(run(connection, "list_policies", run="later")) == []
