"""A workspace in which every named query finds something, with numbers that tests can write out."""

from tests.tiny_runs import (
    begin_comparison,
    begin_evolving_run,
    chosen_in_training,
    finish_first_round,
    finish_second_round,
)
from tests.tiny_workspace import Sample, finish_run, make_corpus, make_scores, make_selection
from tokensieve.artifact import Artifact
from tokensieve.runs import Attempt
from tokensieve.storage import LocalStorage

SHARDS = [
    [Sample("s0", "wiki", (0, 1, 2, 3), (0, 0, 0, 1)), Sample("s1", "web", (0, 1, 2))],
    [Sample("s2", "wiki", (0, 5, 0)), Sample("s3", "web", (0, 6)), Sample("s3", "web", (0, 6))],
]
BASE = [[1.0, 2.0, 3.0, 4.0, 5.0], [6.0, 7.0, 8.0]]
REFERENCE = [[0.5, 2.0, 1.0, 4.5, 1.0], [1.0, 7.0, 0.25]]
FIRST = [[1, 0, 1, 0, 0], [1, 0, 1]]
SECOND = [[1, 1, 0, 0, 1], [1, 1, 0]]
REASONS = [["", "", "noise", "echo", ""], ["", "", "noise"]]
POLICIES = [["", "spans", "", "", "ends"], ["", "ends", "spans"]]
REJECTED = [
    {"outcome": "quarantined", "source": "web", "reason": "no_answer", "line": line}
    for line in (7, 9)
]


def make_workspace(storage: LocalStorage) -> None:
    """Finish two cleanings of one drop, an evolution, a comparison, and a choice in training.

    The first cleaning is the run last worked on.
    """
    corpus = make_corpus(storage, SHARDS, duplicates={"1": [2]}, rejected=REJECTED)
    scores = {
        "base": make_scores(corpus, "base", BASE),
        "reference": make_scores(corpus, "reference", REFERENCE),
    }
    _clean(storage, "first", corpus, scores, make_selection(corpus, FIRST, scores=scores), 2.0)
    second = make_selection(corpus, SECOND, scores=scores, reasons=REASONS, policies=POLICIES)
    _clean(storage, "second", corpus, scores, second, 1.0)
    run, evolved = begin_evolving_run(storage)
    finish_first_round(run, evolved)
    finish_second_round(run, evolved)
    chosen_in_training(storage)
    comparison, arm = begin_comparison(storage)
    comparison.finish_arm(storage, arm)


def _clean(
    storage: LocalStorage,
    name: str,
    corpus: Artifact,
    scores: dict[str, Artifact],
    selection: Artifact,
    started: float,
) -> None:
    finish_run(storage, name, [(corpus, scores, selection)])
    attempt = Attempt(flow_run=f"of-{name}", host="here", pid=1, started=started)
    attempt.publish(storage, name)
