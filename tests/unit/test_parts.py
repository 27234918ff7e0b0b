"""Parts of a corpus and slices of its scores: nothing is shuffled and no token is lost."""

import os
import signal
import subprocess
import sys

import pytest

from tests.scripts import REPOSITORY
from tests.tiny_workspace import Sample, make_corpus, make_scores
from tokensieve.artifact import Artifact
from tokensieve.corpus import read_shard
from tokensieve.errors import SettingsError
from tokensieve.parts import (
    Part,
    Span,
    cut_part,
    num_left_out,
    part_of,
    slice_scores,
    sliced_scores,
)
from tokensieve.storage import LocalStorage

LENGTHS = [3, 2, 4, 2, 5, 3, 2, 6, 2, 3, 4, 2]
"""Tokens of the twelve samples; the first of each is its prompt."""
SIZES = [3, 4, 1, 4]
"""Samples of the four shards."""

CUT = """
import sys
from pathlib import Path
from tests.unit.test_parts import cut_all
from tokensieve.artifact import load_artifact
from tokensieve.storage import LocalStorage
root, corpus, scores = sys.argv[1:]
storage = LocalStorage(Path(root))
cut_all(load_artifact(storage, "corpora", corpus), load_artifact(storage, "scores", scores))
"""


def shards() -> list[list[Sample]]:
    samples = iter(
        Sample(f"s{n:02d}", "ab"[n % 2], tuple(range(length))) for n, length in enumerate(LENGTHS)
    )
    return [[next(samples) for _ in range(size)] for size in SIZES]


def whole(storage: LocalStorage) -> tuple[Artifact, Artifact]:
    """Return the corpus, and scores in which every response token has a number of its own."""
    corpus = make_corpus(storage, shards())
    values, number = [], 0.0
    for shard in range(len(SIZES)):
        count = int(read_shard(corpus, corpus.committed(), shard).response_T.sum())
        values.append([number + n for n in range(count)])
        number += count
    values[1][2] = float("nan")  # one token without a score
    return corpus, make_scores(corpus, "base", values, non_finite=1)


def cut(corpus: Artifact, number: int, num_parts: int = 5) -> Part:
    part = part_of(corpus, corpus.committed(), number, num_parts)
    cut_part(part, corpus.committed())
    return part


def cut_all(corpus: Artifact, scores: Artifact) -> list[tuple[Part, Artifact]]:
    """Cut and slice every part, as the rounds of a run do."""
    made = []
    for number in range(5):
        part = cut(corpus, number)
        sliced = sliced_scores(scores, part)
        slice_scores(sliced, scores, part, corpus.committed())
        made.append((part, sliced))
    return made


def sample_ids(artifact: Artifact) -> list[list[str]]:
    """Return the ids of the samples, shard by shard."""
    commit = artifact.committed()
    return [read_shard(artifact, commit, n).sample_ids for n in range(artifact.num_shards)]


def rows(artifact: Artifact) -> list[dict]:
    receipts = artifact.committed().receipts
    return [row for each in receipts for row in artifact.read_table(each, "shards").to_pylist()]


def tree(storage: LocalStorage) -> dict[str, bytes]:
    return {
        str(path.relative_to(storage.root)): path.read_bytes()
        for path in sorted(storage.root.rglob("*"))
        if path.is_file() and not path.name.startswith(".tmp-")
    }


@pytest.fixture
def storage(tmp_path):
    return LocalStorage(tmp_path / "workspace")


def test_parts_are_neighbouring_samples_in_their_order_and_the_last_ones_are_in_none(storage):
    corpus, _ = whole(storage)

    parts = [sample_ids(cut(corpus, number).artifact) for number in range(5)]

    assert parts == [
        [["s00", "s01"]],
        [["s02"], ["s03"]],
        [["s04", "s05"]],
        [["s06"], ["s07"]],
        [["s08", "s09"]],
    ]
    assert num_left_out(corpus.committed(), 5) == 2  # s10 and s11


def test_a_part_may_reach_over_several_shards_and_keeps_them(storage):
    corpus, _ = whole(storage)

    part = part_of(corpus, corpus.committed(), 1, 2)

    assert part.spans == (Span(1, 3, 4), Span(2, 0, 1), Span(3, 0, 4))
    assert part.artifact.plan["num_shards"] == 3
    assert num_left_out(corpus.committed(), 2) == 0


def test_one_part_is_the_whole_corpus(storage):
    corpus, _ = whole(storage)

    part = cut(corpus, 0, num_parts=1)

    assert rows(part.artifact) == rows(corpus)
    assert part.artifact.id != corpus.id


def test_the_rows_of_all_parts_are_those_of_the_corpus(storage):
    corpus, scores = whole(storage)

    made = cut_all(corpus, scores)

    assert [row for part, _ in made for row in rows(part.artifact)] == rows(corpus)[:10]
    counts = [part.artifact.committed().totals for part, _ in made]
    assert [each["rows"] for each in counts] == [each["scored"] for each in counts] == [2] * 5
    assert [each["tokens"] for each in counts] == [5, 6, 8, 8, 5]
    assert [each["response_tokens"] for each in counts] == [3, 4, 6, 6, 3]
    assert {each["quarantined"] + each["skipped"] for each in counts} == {0}


def test_a_sample_that_repeats_an_earlier_one_is_in_no_part(storage):
    """Without s01, s05 and s06 nine samples are left: four parts of two."""
    doubled = make_corpus(storage, shards(), {"0": [1], "1": [2, 3]})

    parts = [sample_ids(cut(doubled, number, 4).artifact) for number in range(4)]

    assert parts == [[["s00", "s02"]], [["s03", "s04"]], [["s07"], ["s08"]], [["s09", "s10"]]]
    assert num_left_out(doubled.committed(), 4) == 1


def test_a_part_has_the_vocabulary_of_its_corpus_once(storage):
    corpus, _ = whole(storage)

    part = cut(corpus, 1)

    first, second = part.artifact.committed().receipts
    vocabulary = corpus.read_table(corpus.committed().receipts[0], "vocabulary")
    assert part.artifact.read_table(first, "vocabulary").equals(vocabulary)
    assert "vocabulary" not in second.files


def test_a_slice_of_scores_has_the_values_of_the_whole_token_for_token(storage):
    corpus, scores = whole(storage)

    made = cut_all(corpus, scores)

    assert [row for _, sliced in made for row in rows(sliced)] == rows(scores)[:10]


def test_a_slice_counts_its_tokens_in_the_words_of_scoring(storage):
    corpus, scores = whole(storage)

    made = cut_all(corpus, scores)

    # the token without a score is the third response token of shard 1, in s04
    assert [sliced.committed().totals for _, sliced in made[1:3]] == [
        {
            "tokens": 6,
            "response_tokens": 4,
            "scored_tokens": 4,
            "non_finite_tokens": 0,
            "unscorable_tokens": 0,
        },
        {
            "tokens": 8,
            "response_tokens": 6,
            "scored_tokens": 5,
            "non_finite_tokens": 1,
            "unscorable_tokens": 0,
        },
    ]


def test_scores_of_another_corpus_are_not_sliced(storage):
    corpus, _ = whole(storage)
    other = make_corpus(storage, [[Sample("x", "a", (0, 1))]])
    scores = make_scores(other, "base", [[1.0]])
    part = cut(corpus, 0)

    with pytest.raises(AssertionError, match="scores of another corpus"):
        slice_scores(sliced_scores(scores, part), scores, part, corpus.committed())


def test_a_part_is_named_by_its_corpus_and_place(storage):
    corpus, scores = whole(storage)
    elsewhere, _ = whole(LocalStorage(storage.root / "elsewhere"))
    ids = {part_of(corpus, corpus.committed(), n, p).artifact.id for p in (4, 5) for n in range(4)}
    part, same = (part_of(each, each.committed(), 3, 5) for each in (corpus, elsewhere))

    assert len(ids) == 8
    assert same.artifact.id == part.artifact.id
    assert sliced_scores(scores, same).id == sliced_scores(scores, part).id


def test_work_that_is_done_is_not_done_again(storage):
    corpus, scores = whole(storage)
    cut_all(corpus, scores)
    before = {path: path.stat().st_ino for path in storage.root.rglob("*")}

    cut_all(corpus, scores)

    assert {path: path.stat().st_ino for path in storage.root.rglob("*")} == before


@pytest.mark.parametrize("point", ["after_shard_publish:1", "after_receipt:1", "before_commit:0"])
def test_cutting_that_was_killed_and_done_again_gives_the_very_bytes(tmp_path, point):
    undisturbed, storage = (LocalStorage(tmp_path / name) for name in ("undisturbed", "killed"))
    cut_all(*whole(undisturbed))
    made = whole(storage)

    killed = subprocess.run(
        [sys.executable, "-c", CUT, str(storage.root), *(artifact.id for artifact in made)],
        cwd=REPOSITORY,
        env={**os.environ, "TOKENSIEVE_ABORT_AT": point},
        check=False,
    )

    assert killed.returncode == -signal.SIGKILL
    assert len(tree(storage)) < len(tree(undisturbed))
    cut_all(*made)
    assert tree(storage) == tree(undisturbed)


@pytest.mark.parametrize("kind", ["corpora", "scores"])
def test_a_shard_that_is_missing_is_made_again_without_a_look_at_the_others(storage, kind):
    corpus, scores = whole(storage)
    part, sliced = cut_all(corpus, scores)[1]
    artifact = {"corpora": part.artifact, "scores": sliced}[kind]
    before = tree(storage)
    storage.path(f"{artifact.key}/COMMIT.json").unlink()
    storage.path(f"{artifact.key}/receipts/00001.json").unlink()
    first = storage.path(corpus.committed().receipts[0].files["shards"].key)
    first.rename(storage.root / "aside")

    cut_all(corpus, scores)

    (storage.root / "aside").rename(first)
    assert tree(storage) == before


@pytest.mark.parametrize(("num_parts", "fits"), [(12, True), (13, False)])
def test_a_corpus_with_fewer_samples_than_parts_is_refused(storage, num_parts, fits):
    corpus, _ = whole(storage)
    commit = corpus.committed()

    if fits:
        assert part_of(corpus, commit, 11, num_parts).spans == (Span(3, 3, 4),)
        return
    with pytest.raises(SettingsError, match=r"rounds\.rounds: the corpus has 12 samples, too few"):
        part_of(corpus, commit, 0, num_parts)
