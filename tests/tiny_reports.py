"""A run of two rounds to report, small enough to count by hand, and hostile text for it."""

from collections.abc import Sequence

import pyarrow as pa

from sql.index import update_index
from tests.tiny_runs import finish_trained_round
from tests.tiny_workspace import (
    Sample,
    Step,
    begin_run,
    make_corpus,
    make_model,
    make_scores,
    make_selection,
)
from tokensieve.runs import Outcome
from tokensieve.storage import LocalStorage
from tokensieve.timings import Timing

A = Sample("a", "one", (0, 1, 2, 1, 2), (0, 0, 0, 1, 1))
B = Sample("b", "two", (0, 1, 1, 3))
C = Sample("c", "one", (0, 4))
REJECTED = (
    {"outcome": "quarantined", "reason": "not_json", "source": "one", "line": 4},
    {"outcome": "quarantined", "reason": "not_json", "source": "one", "line": 5},
)
BASE = [[2.0, 2.0, 2.0, 2.0, 1.0, 1.0, 1.0, 3.0]]
REFERENCE = [[1.0, 1.0, 3.0, 3.0, 0.0, 2.0, 1.0, 1.0]]
KEPT = ([1, 1, 0, 0, 1, 0, 1, 1], [1, 1, 1, 0, 1, 0, 0, 1])
"""In round 0 and in round 1; a, b and c have 4, 3 and 1 response tokens."""
SCORES = [3.0, 2.0, 1.0, 0.0, -1.0, -2.0, -3.0, 9.0]
REASONS = ["", "", "stale", "stale", "", "stale", "", ""]

HOSTILE = (
    "<script>alert(1)</script>",
    "</script><img src=x onerror=alert(2)>",
    '" onmouseover="alert(3)',
    "{{ 7 * 7 }}{% include 'x' %}",
    "\u202egnp.exe",
    "\x1b[31mred\x1b]0;title\x07",
    "nul\x00nul",
    "--><svg/onload=alert(4)>",
)


def vocabulary_of(texts: Sequence[str]) -> pa.Table:
    """Return a vocabulary of these eight texts."""
    columns = {"token_id": pa.array(range(8), pa.int32()), "text": list(texts)}
    return pa.table(columns | {"special": [False] * 8})


def finish_reported_run(
    storage: LocalStorage,
    name: str = "tiny-1",
    samples: tuple[Sample, ...] = (A, B, C),
    file: str = "a.jsonl",
) -> None:
    """Finish two rounds over the samples, of 5 and of 5 kept tokens, and bring the index up."""
    corpus = make_corpus(storage, [samples], rejected=REJECTED)
    inputs = [{"name": file, "num_bytes": 1, "sha256": "0" * 64}]
    scores = {
        "base": make_scores(corpus, "base", BASE),
        "reference": make_scores(corpus, "reference", REFERENCE),
    }
    Timing(seconds=2.0, tokens=11).publish(scores["base"])
    corpora = {"drop": corpus.id}
    run = begin_run(storage, name, flow="evolve", corpora=corpora, num_rounds=2, inputs=inputs)
    for number, kept in enumerate(KEPT):
        selection = make_selection(
            corpus, [kept], scores=scores, attributes={"score": [SCORES]}, reasons=[REASONS]
        )
        model = make_model(storage, selection, [Step(1.5 - number, 5, 8)])
        outcome = Outcome(promoted=not number, reason="judged", loss_before=2.0, loss_after=1.5)
        finish_trained_round(run, number, (corpus, scores, selection, model), outcome)
    update_index(storage)
