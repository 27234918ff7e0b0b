"""Policies over methods that decide at each step of a training: they hold at every step."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from transformers import LlamaForCausalLM

from tests.tiny_models import build_tiny_model
from tests.tiny_training import chosen_data, tiny_shard
from tests.tiny_workspace import Sample, make_corpus, make_scores
from tokensieve.evidence import EvidenceReader
from tokensieve.methods import Selector, Source, deferred, find_method
from tokensieve.models import ModelPlace
from tokensieve.planning import model_spec
from tokensieve.planning.policies import with_policies
from tokensieve.planning.steps import selection_step, training_step
from tokensieve.policies import Policies
from tokensieve.selection import selection_tables
from tokensieve.settings import (
    ClusterSettings,
    PolicySettings,
    S3Settings,
    SelectionSettings,
    TrainingSettings,
)
from tokensieve.storage import LocalStorage
from tokensieve.training import Observer, StepPolicies, Trainee, train
from tokensieve.training.reading import read_training_data

STANDING = TrainingSettings(
    tuning="full", learning_rate=1e-12, precision="float32", step_samples=2, warmup=0
)


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    torch.set_num_threads(1)
    return build_tiny_model(tmp_path_factory.mktemp("model"), hidden=32)


class Decided(Observer):
    def weights_decided(self, weight_T) -> None:
        self.weight_T = weight_T


def decided(path, method, policies, guard_T):
    """Return what tokens of `tiny_shard` weighed last, by the method alone and with policies."""
    data = chosen_data(SelectionSettings(method=method))
    own = StepPolicies(PolicySettings(**policies), guard_T)
    found = []
    for chosen in (data.step_method, replace(data.step_method, policies=own)):
        watch = Decided()
        model = LlamaForCausalLM.from_pretrained(path)
        train(Trainee(model), replace(data, step_method=chosen), STANDING, observer=watch)
        found.append(watch.weight_T)
    return found


def guard_of(tokens):
    guard_T = np.full(len(tiny_shard().input_ids_T), -1, dtype=np.int8)
    guard_T[tokens] = 0
    return guard_T


def test_protected_tokens_are_in_every_step_and_no_other_changes(path):
    last_T = tiny_shard().offsets_N1[1:] - 1

    plain_T, policed_T = decided(path, "rho-1", {"protect": ("eos",)}, guard_of(last_T))

    has_choice = ~np.isnan(plain_T)
    expected = plain_T.copy()
    expected[last_T] = 1
    expected[~has_choice] = np.nan
    np.testing.assert_array_equal(policed_T, expected)
    assert (plain_T[last_T] == 0).any()
    assert np.isnan(policed_T[last_T]).sum() == 1  # the fourth sample has no reference


def test_every_sample_of_a_step_has_its_minimum_as_far_as_it_has_candidates(path):
    plain_T, policed_T = decided(path, "rho-1", {"min_kept_tokens": 4}, guard_of([]))

    kept = [np.nansum(policed_T[span]) for span in chosen_data(SelectionSettings()).slices()]
    assert min(kept[0], kept[2]) >= 4
    assert (kept[1], kept[3], kept[4]) == (2, 0, 3)
    assert (policed_T[plain_T == 1] == 1).all()


def test_a_protected_token_weighs_1_with_a_method_that_weighs(path):
    last_T = tiny_shard().offsets_N1[1:] - 1

    plain_T, policed_T = decided(path, "dft", {"protect": ("eos",)}, guard_of(last_T))

    expected = plain_T.copy()
    expected[last_T] = 1
    np.testing.assert_array_equal(policed_T, expected)
    assert (plain_T[last_T] < 1).all()


def test_a_training_reads_its_policies_and_what_is_protected_from_the_selection(path, tmp_path):
    storage = LocalStorage(tmp_path / "workspace")
    samples = [Sample(f"s{n}", "one", (n + 3, n + 4, 0)) for n in range(3)]
    corpus = make_corpus(storage, [samples[:2], samples[2:]])
    scores = {"reference": make_scores(corpus, "reference", [[1, 2, 3, 4], [5, 6]])}
    place = ModelPlace(str(path), S3Settings())
    policies = PolicySettings(protect=("eos",), smooth_spans=2)
    step = with_policies(
        selection_step(corpus, scores, SelectionSettings(method="rho-1")), policies, place
    )
    select(step)
    spec = model_spec(place, "float32", on_gpu=False)
    training = training_step(step.artifact, corpus, spec, STANDING, ClusterSettings())
    training.artifact.declare()

    chosen = read_training_data(training.artifact).step_method

    assert chosen.policies.settings == policies
    assert chosen.policies.guard_T.tolist() == [-1, -1, 0] * 3


def select(step):
    method = deferred(find_method(step.settings.method))
    source = Source(EvidenceReader(step.corpus, step.scores, method.columns, 0).read, 2)
    selector = Selector.of(method, step.settings, source)
    policies = Policies.of(step.overriding.settings, step.overriding.base.path, is_later=True)
    step.artifact.declare()
    for number in range(2):
        seen = source.read(number)
        decision = policies.decide(selector.decide(seen), seen, selector.rule)
        step.artifact.publish(number, *selection_tables(seen.shard, decision, True))
    step.artifact.commit()
