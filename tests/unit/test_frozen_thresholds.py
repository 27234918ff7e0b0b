"""Frozen thresholds: what scores as well as what another selection kept is kept, however much."""

from dataclasses import replace

import pytest

from tests.tiny_workspace import Sample, make_corpus, make_scores
from tokensieve.artifact import Artifact
from tokensieve.errors import InputError, SettingsError
from tokensieve.evidence import EvidenceReader
from tokensieve.methods import Selector, Source, chosen_method
from tokensieve.planning import frozen_thresholds
from tokensieve.planning.frozen import with_frozen_thresholds
from tokensieve.planning.steps import selection_step
from tokensieve.selection import selection_tables
from tokensieve.settings import SelectionSettings
from tokensieve.storage import LocalStorage


@pytest.fixture
def storage(tmp_path):
    return LocalStorage(tmp_path / "workspace")


def step_of(storage, shards, influence, **selection):
    """Return a selection of response tokens with these influences, and the source of each sample.

    `shards`: per shard the sources of its samples; `influence`: per shard the numbers of all.
    """
    samples = [
        [Sample(f"{shard}-{n}", source, (0, 1, 2)) for n, source in enumerate(sources)]
        for shard, sources in enumerate(shards)
    ]
    corpus = make_corpus(storage, samples)
    scores = {
        "base": make_scores(corpus, "base", influence),
        "reference": make_scores(corpus, "reference", [[0.0] * len(each) for each in influence]),
    }
    return selection_step(corpus, scores, SelectionSettings(**selection))


def selected(step):
    """Select the tokens of a step, and commit; return the weights of all response tokens."""
    selection, method = step.artifact, chosen_method(step.settings)
    reader = EvidenceReader(step.corpus, step.scores, method.columns, seed=0)
    source = Source(reader.read, selection.num_shards)
    if step.frozen is None:
        selector = Selector.of(method, step.settings, source)
    else:
        thresholds = frozen_thresholds(step.frozen, selection)
        selector = Selector.frozen(method, step.settings, thresholds)
    selection.declare()
    weights = []
    for number in range(selection.num_shards):
        seen = reader.read(number)
        decision = selector.decide(seen)
        weights += decision.weight_T[seen.shard.response_T].tolist()
        selection.publish(number, *selection_tables(seen.shard, decision, keep_empty=True))
    notes = {name: vars(threshold) for name, threshold in selector.thresholds.items()}
    selection.commit({"thresholds": notes})
    return weights


def test_exactly_the_tokens_that_reach_the_frozen_threshold_are_kept(storage):
    first = step_of(storage, [["a", "a"]], [[4.0, 3.0, 2.0, 1.0]], keep=0.5)
    assert selected(first) == [1, 1, 0, 0]

    new = step_of(storage, [["a"], ["b", "a"]], [[2.9, 3.0], [9.0, -1.0, 3.1, 0.0]], keep=0.5)
    frozen = with_frozen_thresholds(new, first.artifact)

    assert selected(frozen) == [0, 1, 1, 0, 1, 0]
    assert frozen.artifact.plan["thresholds_of"] == first.artifact.id
    assert frozen.artifact.id != new.artifact.id


def test_tokens_that_tie_with_the_last_one_kept_are_all_kept(storage):
    first = step_of(storage, [["a", "a"]], [[3.0, 3.0, 3.0, 1.0]], keep=0.5)
    assert selected(first) == [1, 1, 0, 0]

    new = step_of(storage, [["a"], ["a"], ["a"]], [[3.0, 2.0], [3.0, 3.0], [3.0, 0.0]], keep=0.5)

    assert selected(with_frozen_thresholds(new, first.artifact)) == [1, 0, 1, 1, 1, 0]


def test_where_nothing_was_kept_nothing_is_kept(storage):
    first = step_of(storage, [["a"]], [[3.0, 1.0]], keep=0.2)
    assert selected(first) == [0, 0]

    new = step_of(storage, [["a"]], [[9.0, 3.0]], keep=0.2)

    assert selected(with_frozen_thresholds(new, first.artifact)) == [0, 0]


def test_each_source_has_its_own_threshold_and_one_without_is_refused(storage):
    given = {"keep": 0.5, "scope": "source"}
    first = step_of(storage, [["a", "b"]], [[1.0, 0.0, 11.0, 10.0]], **given)
    assert selected(first) == [1, 0, 1, 0]

    new = step_of(storage, [["b", "a"]], [[10.9, 11.0, 0.9, 5.0]], **given)
    assert selected(with_frozen_thresholds(new, first.artifact)) == [0, 1, 0, 1]

    strange = step_of(storage, [["a"], ["c"]], [[1.0, 1.0], [1.0, 1.0]], **given)
    with pytest.raises(InputError, match="source 'c': has no threshold in the selection"):
        selected(with_frozen_thresholds(strange, first.artifact))


def test_frozen_thresholds_can_be_frozen_again(storage):
    first = step_of(storage, [["a", "a"]], [[4.0, 3.0, 2.0, 1.0]], keep=0.5)
    selected(first)
    second = step_of(storage, [["a"]], [[2.0, 1.0]], keep=0.5)
    second = with_frozen_thresholds(second, first.artifact)
    assert selected(second) == [0, 0]

    third = step_of(storage, [["a"]], [[3.0, 2.0]], keep=0.5)

    assert selected(with_frozen_thresholds(third, second.artifact)) == [1, 0]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"keep": 0.6}, "was made with keep 0.5, and this one with 0.6"),
        ({"scope": "source"}, "was made with scope 'dataset', and this one with 'source'"),
        ({"method": "random"}, "was made with method 'fixed-model', and this one with 'random'"),
    ],
)
def test_thresholds_of_another_choice_are_refused(storage, change, told):
    first = step_of(storage, [["a"]], [[1.0, 0.0]], keep=0.5)
    selected(first)
    other = step_of(storage, [["a"]], [[2.0, 0.0]], **{"keep": 0.5, **change})

    with pytest.raises(SettingsError, match=told):
        with_frozen_thresholds(other, first.artifact)


def test_thresholds_of_another_model_are_refused(storage):
    first = step_of(storage, [["a"]], [[1.0, 0.0]], keep=0.5)
    selected(first)
    other = step_of(storage, [["a"]], [[1.0, 0.0]], keep=0.5)
    plan = {**other.scores["base"].plan, "model": "another"}
    other.scores["base"] = Artifact(storage, "scores", plan)

    with pytest.raises(SettingsError, match="was made with another base: its thresholds say noth"):
        with_frozen_thresholds(other, first.artifact)


@pytest.mark.parametrize(
    ("method", "why"),
    [
        ("rho", "chooses within each sample, or by a test"),
        ("full", "chooses within each sample, or by a test"),
        ("sieve", "fits itself to each corpus"),
        ("forgetting", "unlearns what it does not keep"),
        ("rho-1", "chooses at every step of a training"),
    ],
)
def test_a_method_without_thresholds_of_its_own_is_refused(storage, method, why):
    step = step_of(storage, [["a"]], [[1.0, 0.0]])
    step = replace(step, settings=SelectionSettings(method=method))

    with pytest.raises(SettingsError, match=f"the method {method} {why}"):
        with_frozen_thresholds(step, step.artifact)
