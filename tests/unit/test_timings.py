"""Timings: what one process did for an artifact, not what the artifact is."""

import pytest

from tokensieve.artifact import Artifact
from tokensieve.storage import LocalStorage
from tokensieve.timings import Timing, timed, timings


@pytest.fixture
def scores(tmp_path) -> Artifact:
    scores = Artifact(LocalStorage(tmp_path), "scores", {"num_shards": 2})
    scores.declare()
    return scores


def make(artifact: Artifact, *shards: int) -> None:
    """Publish shards of 10 and 11 tokens."""
    for shard in shards:
        artifact.publish(shard, {}, {"tokens": 10 + shard})


def tokens(artifact: Artifact) -> list[int]:
    return sorted(timing.tokens for timing in timings(artifact))


def test_all_tokens_are_those_of_the_process_that_did_all(scores):
    with timed(scores):
        make(scores, 0, 1)
        scores.commit()

    [timing] = timings(scores)
    assert timing.tokens == 21
    assert 0 <= timing.seconds < 60


def test_tokens_that_an_interrupted_process_did_are_not_those_of_the_next(scores):
    make(scores, 0)

    with timed(scores):
        make(scores, 1)
        scores.commit()

    assert tokens(scores) == [11]


def test_tokens_are_counted_once_when_two_runs_do_them_at_the_same_time(scores):
    with timed(scores):
        make(scores, 0)
        with timed(scores):
            make(scores, 1)
            scores.commit()

    assert sum(tokens(scores)) == 21


def test_what_is_not_finished_is_not_timed(scores):
    with timed(scores):
        make(scores, 0)

    assert timings(scores) == []


def test_what_is_only_cut_out_of_another_artifact_ran_through_no_model(scores):
    part = Artifact(scores.storage, "scores", {"num_shards": 1, "of": scores.id})
    with timed(part):
        make(part, 0)
        part.commit()

    assert timings(part) == [Timing(seconds=timings(part)[0].seconds, tokens=0)]
