"""Harmful data that grows: which samples of a drop are added to it, and that none is lost."""

import os
import signal
import subprocess
import sys

import pytest

from tests.scripts import REPOSITORY
from tests.tiny_workspace import Sample, make_corpus, make_scores
from tokensieve.artifact import Artifact, load_artifact
from tokensieve.corpus import read_shard
from tokensieve.growth import PICKED, Growth, grow_corpus, growth_of, picked_scores
from tokensieve.storage import LocalStorage

NAN = float("nan")
HARMFUL = [
    [Sample("x0", "h", (0, 1, 2)), Sample("x1", "h", (0, 3))],
    [Sample("a", "h", (0, 4))],  # an id that the drop has, too
]
DROP = [
    [
        Sample("a", "d", (0, 5, 6)),
        Sample("b", "d", (0, 3)),  # the tokens of x1
        Sample("c", "d", (0, 7)),
    ],
    [
        Sample("d", "e", (0, 6, 5)),
        Sample("e", "e", (0, 5, 5)),
        Sample("f", "e", (0, 6)),
        Sample("g", "e", (0, 7)),  # the tokens of c
    ],
]
REFERENCE = [[2.0, 3.0, 9.0, 4.0], [1.0, 3.0, 5.0, 2.0, 8.0, 4.5]]
"""Nats of the response tokens. Less ONES: the scores of a 1 2, b 8, c 3, d 0 2, e 4 1, f 7, g 3.5.
The highest of a and d are equal.
"""
ONES = [[1.0] * 4, [1.0] * 6]

GROW = """
import sys
from pathlib import Path
from tests.unit.test_growth import made
from tokensieve.growth import grow_corpus
from tokensieve.storage import LocalStorage
grow_corpus(made(LocalStorage(Path(sys.argv[1])), num_added=3))
"""


@pytest.fixture
def storage(tmp_path):
    return LocalStorage(tmp_path / "workspace")


def made(
    storage: LocalStorage,
    num_added: int,
    former: Artifact | None = None,
    reference=REFERENCE,
    harmful=ONES,
    duplicates=None,
) -> Growth:
    """Return how a corpus grows, by default the harmful data; all of it is committed."""
    drop = make_corpus(storage, DROP, duplicates)
    scores = {
        role: make_scores(drop, role, nll)
        for role, nll in (("reference", reference), ("harmful", harmful))
    }
    return growth_of(former or harmful_data(storage), drop, scores, num_added)


def harmful_data(storage: LocalStorage, duplicates=None) -> Artifact:
    corpus = make_corpus(storage, HARMFUL, duplicates)
    # a corpus made of files says by which tokenizer
    told = Artifact(storage, "corpora", {**corpus.plan, "tokenizer": "t"})
    told.declare()
    commit = corpus.required_commit()
    for number, receipt in enumerate(commit.receipts):
        told.publish(number, {"shards": corpus.read_table(receipt, "shards")}, receipt.counts)
    told.commit(commit.notes)
    return told


def grown(growth: Growth) -> Artifact:
    grow_corpus(growth)
    return growth.artifact


def added(growth: Growth) -> list[str]:
    """Return the samples that were added, by their ids in the drop."""
    receipt = grown(growth).required_commit().receipts[-1]
    return growth.artifact.read_table(receipt, PICKED)["sample_id"].to_pylist()


def sample_ids(corpus: Artifact) -> list[list[str]]:
    commit = corpus.required_commit()
    return [read_shard(corpus, commit, n).sample_ids for n in range(corpus.num_shards)]


def tree(storage: LocalStorage) -> dict[str, bytes]:
    return {
        str(path.relative_to(storage.root)): path.read_bytes()
        for path in sorted(storage.root.rglob("*"))
        if path.is_file() and not path.name.startswith(".tmp-")
    }


@pytest.mark.parametrize(
    ("num_added", "ids"),
    [
        (1, ["f"]),  # b has more, 8, but is harmful data already
        (2, ["e", "f"]),
        (3, ["e", "f", "g"]),  # g is c again, with more
        (4, ["a", "e", "f", "g"]),  # a before d, which has as much
        (5, ["a", "d", "e", "f", "g"]),
        (9, ["a", "d", "e", "f", "g"]),
    ],
)
def test_the_samples_of_the_highest_scores_are_added_in_the_order_of_the_drop(
    storage, num_added, ids
):
    assert added(made(storage, num_added)) == ids


def test_the_score_is_the_reference_s_loss_less_the_harmful_model_s(storage):
    harmful = [[0.5, 3.0, 9.0, 0.25], [1.0] * 6]

    growth = made(storage, 3, harmful=harmful)

    assert added(growth) == ["c", "e", "f"]
    assert picked_scores(growth.artifact) == [3.75, 4.0, 7.0]


def test_what_was_added_keeps_its_tokens_and_has_an_id_of_its_own(storage):
    growth = made(storage, 5)
    corpus = grown(growth)

    last = read_shard(corpus, corpus.required_commit(), 2)
    ids = [f"{growth.drop.id}/{id}" for id in "adefg"]

    assert sample_ids(corpus) == [["x0", "x1"], ["a"], ids]
    assert last.input_ids_T.tolist() == [0, 5, 6, 0, 6, 5, 0, 5, 5, 0, 6, 0, 7]
    assert last.offsets_N1.tolist() == [0, 3, 6, 9, 11, 13]
    assert last.sources == ["d", "e", "e", "e", "e"]
    assert last.response_T.tolist() == [n not in (0, 3, 6, 9, 11) for n in range(13)]


def test_everything_is_counted(storage):
    commit = grow_corpus(made(storage, 2))

    assert [receipt.counts["picked"] for receipt in commit.receipts] == [0, 0, 2]
    assert commit.totals == {
        "picked": 2,
        "quarantined": 0,
        "response_tokens": 4 + 3,
        "rows": 5,
        "scored": 5,
        "skipped": 0,
        "tokens": 7 + 5,
    }


def test_what_was_added_before_is_not_added_again(storage):
    first = made(storage, 2)
    second = made(storage, 2, former=grown(first))
    third = made(storage, 2, former=grown(second))

    assert [added(each) for each in (first, second, third)] == [["e", "f"], ["a", "g"], ["d"]]
    assert [len(each) for each in sample_ids(third.artifact)] == [2, 1, 2, 2, 1]
    assert picked_scores(third.artifact) == [2.0]


def test_nothing_is_added_where_nothing_is_left(storage):
    everything = grown(made(storage, 9))

    growth = made(storage, 9, former=everything)

    assert added(growth) == []
    assert sample_ids(growth.artifact)[-1] == []


def test_a_sample_without_a_score_is_not_added_and_a_token_without_one_does_not_count(storage):
    reference = [[2.0, 3.0, 9.0, NAN], [1.0, 3.0, NAN, 2.0, NAN, NAN]]

    growth = made(storage, 9, reference=reference)

    assert added(growth) == ["a", "d", "e"]  # of c, f and g no token has one
    assert picked_scores(growth.artifact) == [2.0, 2.0, 1.0]


def test_samples_that_repeat_others_are_not_looked_at(storage):
    duplicates = {"1": [2]}  # f
    reference = [REFERENCE[0], [1.0, 3.0, 5.0, 2.0, 4.5]]

    growth = made(
        storage, 2, reference=reference, harmful=[[1.0] * 4, [1.0] * 5], duplicates=duplicates
    )

    assert added(growth) == ["e", "g"]


def test_repeated_samples_of_the_harmful_data_are_left_out(storage):
    growth = made(storage, 1, former=harmful_data(storage, duplicates={"0": [0]}))

    assert sample_ids(grown(growth))[:2] == [["x1"], ["a"]]


def test_a_grown_corpus_is_named_by_what_it_is_made_of(storage):
    former = harmful_data(storage)
    usual, same = made(storage, 2), made(LocalStorage(storage.root / "elsewhere"), 2)
    others = [
        made(storage, 3),
        made(storage, 2, former=grown(usual)),
        made(storage, 2, harmful=[[2.0] * 4, [1.0] * 6]),
    ]

    assert usual.artifact.plan["tokenizer"] == "t"
    assert usual.artifact.plan["grown_from"] == former.id
    assert same.artifact.id == usual.artifact.id
    assert len({usual.artifact.id, *(other.artifact.id for other in others)}) == 4


def test_work_that_is_done_is_not_done_again(storage):
    grow_corpus(made(storage, 3))
    before = {path: path.stat().st_ino for path in storage.root.rglob("*")}

    grow_corpus(made(storage, 3))

    assert {path: path.stat().st_ino for path in storage.root.rglob("*")} == before


@pytest.mark.parametrize("point", ["after_receipt:0", "after_shard_publish:2", "before_commit:0"])
def test_growing_that_was_killed_and_done_again_gives_the_very_bytes(tmp_path, point):
    undisturbed, storage = (LocalStorage(tmp_path / name) for name in ("undisturbed", "killed"))
    growth, lost = made(undisturbed, 3), made(storage, 3)
    grow_corpus(growth)

    killed = subprocess.run(
        [sys.executable, "-c", GROW, str(storage.root)],
        cwd=REPOSITORY,
        env={**os.environ, "TOKENSIEVE_ABORT_AT": point},
        check=False,
    )

    assert killed.returncode == -signal.SIGKILL
    assert len(tree(storage)) < len(tree(undisturbed))
    grow_corpus(lost)
    assert tree(storage) == tree(undisturbed)
    assert load_artifact(storage, "corpora", lost.artifact.id).committed() is not None
