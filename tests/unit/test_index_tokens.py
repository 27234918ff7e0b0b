"""What the index holds of tokens: scores of any model, whatever a method says of them, reasons."""

import duckdb
import numpy as np
import pytest

from sql import connect_published, explain_token, run
from sql.index import rebuild_index, update_index
from tests.reading import index_content, rows
from tests.tiny_workspace import (
    Sample,
    finish_run,
    make_corpus,
    make_part,
    make_scores,
    make_selection,
)
from tokensieve.artifact import Artifact
from tokensieve.errors import DamagedError, InputError, SettingsError
from tokensieve.storage import LocalStorage

NAN = float("nan")
HOSTILE = "'); DROP TABLE rounds; --"
SHARDS = [
    [Sample("s0", "wiki", (1, 2, 3, 4)), Sample(HOSTILE, "web", (1, 2, 2))],
    [Sample("s2", "wiki", (5, 6, 7))],
]
WEIGHT = [[1.0, 0.0, -0.5, 0.25, 0.0], [0.0, 1.0]]
UNSCORABLE = [[False, False, False, False, True], [False, False]]
BASE = [[3.0, 2.0, NAN, 1.0, 5.0], [4.0, 0.5]]
EXTERNAL = [[0.5, NAN, 0.25, 1.5, NAN], [2.0, NAN]]
NOVELTY = [[0.5, 0.25, NAN, 1.0, NAN], [8.0, 2.0]]
REASONS = [["", "novelty", "noise, novelty", "", ""], ["novelty", ""]]


@pytest.fixture
def storage(tmp_path):
    storage = LocalStorage(tmp_path / "it's a workspace; --")
    storage.probe()
    return storage


def plain_run(storage: LocalStorage, name: str) -> Artifact:
    """Finish a run that asks no model and says nothing of tokens but their weights."""
    corpus = make_corpus(storage, [[Sample("p", name, (0, 1, 2))], [Sample("q", name, (0, 1))]])
    finish_run(storage, name, [(corpus, {}, make_selection(corpus, [[1.0, 0.0], [1.0]]))])
    return corpus


def reasoned_run(storage: LocalStorage, name: str = "reasoned") -> tuple[Artifact, Artifact]:
    """Finish a run with a base, a strange role and reasons; return its corpus and selection."""
    corpus = make_corpus(storage, SHARDS)
    scores = {
        "base": make_scores(corpus, "base", BASE, non_finite=1),
        "external": make_scores(corpus, "external", EXTERNAL, name="quality"),
    }
    selection = make_selection(
        corpus, WEIGHT, UNSCORABLE, attributes={"novelty": NOVELTY}, reasons=REASONS
    )
    finish_run(storage, name, [(corpus, scores, selection)])
    return corpus, selection


def columns_of(storage: LocalStorage, view: str) -> list[str]:
    return [name for name, *_ in rows(storage, f"DESCRIBE {view}")]


def test_every_column_of_every_role_and_of_the_selection_stands_in_the_views(storage):
    reasoned_run(storage)
    update_index(storage)

    assert columns_of(storage, "samples") == [
        *("run", "round", "corpus", "sample_id", "source", "input_ids", "response", "turn"),
        *("base_nll", "base_entropy", "reference_nll", "reference_entropy", "weight"),
        *("decided", "score", "novelty", "reason", "external_quality"),
    ]
    assert columns_of(storage, "tokens") == [
        *("run", "round", "sample_id", "source", "position", "turn", "token_id", "text"),
        *("base_nll", "reference_nll", "influence", "base_entropy", "reference_entropy"),
        *("weight", "decided", "score", "novelty", "reason", "external_quality"),
    ]
    assert rows(
        storage,
        "SELECT sample_id, position, token_id, base_nll, base_entropy, reference_nll, influence,"
        " weight, score, novelty, reason, external_quality FROM tokens ORDER BY ALL",
    ) == [
        (HOSTILE, 1, 2, 1.0, 0.5, None, None, 0.25, 0.0, 1.0, None, 1.5),
        (HOSTILE, 2, 2, 5.0, 2.5, None, None, 0.0, None, None, None, None),
        ("s0", 1, 2, 3.0, 1.5, None, None, 1.0, 0.0, 0.5, None, 0.5),
        ("s0", 2, 3, 2.0, 1.0, None, None, 0.0, 0.0, 0.25, "novelty", None),
        ("s0", 3, 4, None, None, None, None, -0.5, 0.0, None, "noise, novelty", 0.25),
        ("s2", 1, 6, 4.0, 2.0, None, None, 0.0, 0.0, 8.0, "novelty", 2.0),
        ("s2", 2, 7, 0.5, 0.25, None, None, 1.0, 0.0, 2.0, None, None),
    ]


def test_a_round_without_a_column_has_null_in_it_and_the_columns_do_not_depend_on_the_order(
    storage,
):
    plain_run(storage, "first")
    update_index(storage)
    assert "external_quality" not in columns_of(storage, "tokens")
    reasoned_run(storage, "second")
    plain_run(storage, "third")
    updated = index_content(update_index(storage))

    assert rows(
        storage,
        "SELECT run, count(*), count(base_nll), count(external_quality), count(novelty),"
        " count(reason), sum(weight) FROM tokens GROUP BY run ORDER BY run",
    ) == [
        ("first", 3, 0, 0, 0, 0, 2.0),
        ("second", 7, 6, 4, 5, 3, 1.75),
        ("third", 3, 0, 0, 0, 0, 2.0),
    ]
    assert updated == index_content(rebuild_index(storage))


def test_the_scores_of_a_round_are_listed_by_role(storage):
    reasoned_run(storage)
    plain_run(storage, "plain")
    update_index(storage)

    found = rows(storage, "SELECT run, round, role FROM round_scores ORDER BY ALL")

    assert found == [("reasoned", 0, "base"), ("reasoned", 0, "external")]
    with connect_published(storage) as connection:
        listed = run(connection, "list_round_scores", run="reasoned", round=0).fetchall()
    assert [role for role, _ in listed] == ["base", "external"]
    assert all(storage.exists(f"scores/{id}/COMMIT.json") for _, id in listed)


def test_the_same_scores_can_have_two_roles(storage):
    corpus = make_corpus(storage, SHARDS)
    scores = make_scores(corpus, "base", [[1.0] * 5, [2.0] * 2])
    both = {"base": scores, "reference": scores, "harmful_2": scores}
    finish_run(storage, "twice", [(corpus, both, make_selection(corpus, WEIGHT))])
    update_index(storage)

    assert rows(
        storage,
        "SELECT DISTINCT base_nll, reference_nll, influence, harmful_2_entropy FROM tokens"
        " ORDER BY ALL",
    ) == [(1.0, 1.0, 0.0, 0.5), (2.0, 2.0, 0.0, 1.0)]
    assert rows(storage, "SELECT one_sided_tokens, influence_tokens FROM round_stats") == [(0, 7)]


def test_kept_is_above_zero_and_unlearned_below_it(storage):
    reasoned_run(storage)
    update_index(storage)

    assert rows(
        storage,
        "SELECT response_tokens, kept_tokens, unlearned_tokens, dropped_tokens, unscorable_tokens"
        " FROM round_stats",
    ) == [(7, 3, 1, 2, 1)]
    assert rows(storage, "SELECT sample_id, kept_tokens FROM sample_stats ORDER BY ALL") == [
        (HOSTILE, 1),
        ("s0", 1),
        ("s2", 1),
    ]


def test_unlearned_tokens_that_no_count_declares_stop_the_index(storage):
    corpus = make_corpus(storage, SHARDS)
    right = make_selection(corpus, WEIGHT, UNSCORABLE)
    wrong = Artifact(storage, "selections", {**right.plan, "content": "another"})
    wrong.declare()
    for shard in (0, 1):
        receipt = right.required_receipt(shard)
        counts = {**receipt.counts, "dropped_tokens": 2}
        wrong.publish(shard, {"shards": right.read_table(receipt, "shards")}, counts)
    wrong.commit()
    finish_run(storage, "wrong", [(corpus, {}, wrong)])

    with pytest.raises(DamagedError, match=r"response_tokens.*unlearned_tokens.*dropped_tokens"):
        update_index(storage)


def test_scores_of_other_roles_do_not_account_for_tokens_that_one_of_two_models_lacks(storage):
    corpus = make_corpus(storage, SHARDS)
    scores = {
        "base": make_scores(corpus, "base", BASE, non_finite=0),
        "reference": make_scores(corpus, "reference", [[1.0] * 5, [1.0] * 2]),
        "external": make_scores(corpus, "external", EXTERNAL, non_finite=3, name="quality"),
    }
    finish_run(storage, "lost", [(corpus, scores, make_selection(corpus, WEIGHT))])

    with pytest.raises(DamagedError, match=r"one_sided_tokens.*non_finite_tokens"):
        update_index(storage)


def test_reasons_are_counted_by_source_as_the_selection_names_them(storage):
    reasoned_run(storage)
    plain_run(storage, "plain")
    update_index(storage)

    assert rows(storage, "SELECT * FROM reason_stats ORDER BY ALL") == [
        ("reasoned", 0, "wiki", "noise, novelty", 1),
        ("reasoned", 0, "wiki", "novelty", 2),
    ]
    with connect_published(storage) as connection:
        listed = run(connection, "list_reasons", run="reasoned", round=0).fetchall()
        assert run(connection, "list_reasons", run="plain", round=0).fetchall() == []
    assert listed == [("novelty", 2), ("noise, novelty", 1)]


def test_every_number_has_its_means_over_kept_dropped_and_unlearned_tokens(storage):
    reasoned_run(storage)
    update_index(storage)

    with connect_published(storage) as connection:
        found = run(connection, "list_attributes", run="reasoned", round=0).fetchall()

    assert found == [
        ("base_entropy", 6, 15.5 / 12, 4.5 / 6, 11 / 6, None),
        ("base_nll", 6, 15.5 / 6, 4.5 / 3, 11 / 3, None),
        ("external_quality", 4, 4.25 / 4, 1.0, 2.0, 0.25),
        ("novelty", 5, 11.75 / 5, 3.5 / 3, 8.25 / 2, None),
        ("score", 6, 0.0, 0.0, 0.0, 0.0),
        ("weight", 7, 1.75 / 7, 2.25 / 3, 0.0, -0.5),
    ]


def test_a_number_that_no_token_has_has_no_mean(storage):
    corpus = make_corpus(storage, [[Sample("a", "x", (0, 1, 2))]])
    selection = make_selection(corpus, [[1, 0]], attributes={"noise": [[NAN, NAN]]})
    finish_run(storage, "empty", [(corpus, {}, selection)])
    update_index(storage)

    assert rows(
        storage, "SELECT * EXCLUDE (run, round) FROM attribute_stats WHERE attribute = 'noise'"
    ) == [("noise", 0, None, None, None, None)]


def test_the_means_of_many_tokens_are_those_of_numpy(storage):
    draw = np.random.default_rng(1)
    weight = draw.choice([1.0, 0.5, 0.0, -1.0], 1000)
    noise = draw.exponential(2.0, 1000).astype(np.float32)
    corpus = make_corpus(storage, [[Sample("s", "a", (1,) * 1001)]])
    selection = make_selection(corpus, [weight.tolist()], attributes={"noise": [noise.tolist()]})
    finish_run(storage, "many", [(corpus, {}, selection)])
    update_index(storage)

    [found] = rows(
        storage,
        "SELECT mean, kept_mean, dropped_mean, unlearned_mean FROM attribute_stats"
        " WHERE attribute = 'noise'",
    )

    wide = noise.astype(np.float64)
    wanted = [wide[each].mean() for each in (weight < 9, weight > 0, weight == 0, weight < 0)]
    assert found == pytest.approx(wanted, rel=1e-12)


def test_slices_of_strange_scores_stand_beside_their_part(storage):
    whole = make_corpus(storage, [SHARDS[0]])
    part = make_part(whole, [SHARDS[0][:1]])
    scores = make_scores(whole, "external", [EXTERNAL[0]], name="quality")
    sliced = Artifact(storage, "scores", {"num_shards": 1, "corpus": part.id, "of": scores.id})
    sliced.declare()
    table = scores.read_table(scores.required_receipt(0), "shards").slice(0, 1)
    sliced.publish(0, {"shards": table}, {"non_finite_tokens": 1})
    sliced.commit()
    selection = make_selection(part, [[1.0, 0.0, 0.0]])
    finish_run(storage, "part", [(part, {"external": sliced}, selection)])
    update_index(storage)

    assert rows(storage, "SELECT text, external_quality FROM tokens ORDER BY position") == [
        ("\x00", 0.5),
        ("'; DROP TABLE rounds; --", None),
        ("\u202e", 0.25),
    ]


def test_a_score_of_another_length_than_its_tokens_is_refused_by_name(storage):
    corpus = make_corpus(storage, [[Sample("a", "x", (1, 2))]])
    other = make_corpus(storage, [[Sample("a", "x", (1, 2, 3))]])
    scores = {"external": make_scores(other, "external", [[1.0, 2.0]], name="quality")}
    finish_run(storage, "longer", [(corpus, scores, make_selection(corpus, [[1.0]]))])

    with pytest.raises(DamagedError, match=rf"scores/{scores['external'].id}/shards/.*quality"):
        update_index(storage)


def _destroy(storage: LocalStorage, artifact: Artifact) -> None:
    """Make the rows of an artifact unreadable; what a reader asks before it reads rows stays."""
    for path in storage.path(f"{artifact.key}/shards").iterdir():
        data = path.read_bytes()
        footer = int.from_bytes(data[-8:-4], "little") + 8
        path.write_bytes(b"\xff" * (len(data) - footer) + data[-footer:])


def test_a_question_about_one_round_reads_the_files_of_no_other(storage):
    reasoned_run(storage)
    other = plain_run(storage, "other")
    update_index(storage)
    _destroy(storage, other)

    for view, num_rows in (("samples", 3), ("tokens", 7)):
        assert rows(storage, f"SELECT count(*) FROM {view} WHERE run = 'reasoned'") == [(num_rows,)]
        assert len(rows(storage, f"FROM {view} WHERE run = 'reasoned' AND round = 0")) == num_rows
        with pytest.raises(duckdb.Error):
            rows(storage, f"FROM {view}")


def test_a_token_is_explained_with_all_that_is_known_of_it(storage):
    _, selection = reasoned_run(storage)
    plain_run(storage, "plain")
    update_index(storage)

    [found] = explain_token(storage, "reasoned", "s0", 3)

    assert found == {
        "run": "reasoned",
        "round": 0,
        "sample_id": "s0",
        "source": "wiki",
        "position": 3,
        "turn": 0,
        "token_id": 4,
        "text": "\u202e",
        "base_nll": None,
        "reference_nll": None,
        "influence": None,
        "base_entropy": None,
        "reference_entropy": None,
        "weight": -0.5,
        "decided": None,
        "score": 0.0,
        "novelty": None,
        "reason": "noise, novelty",
        "external_quality": 0.25,
        "selection": selection.id,
        "same_tokens": 1,
        "same_tokens_kept": 0,
    }


def test_a_token_is_explained_by_every_round_that_decided_on_it(storage):
    corpus = make_corpus(storage, SHARDS)
    rounds = [
        (corpus, {}, make_selection(corpus, weights))
        for weights in ([[1, 0, 0, 1, 1], [0, 0]], [[1, 1, 1, 0, 1], [0, 0]])
    ]
    finish_run(storage, "twice", rounds)
    update_index(storage)

    found = explain_token(storage, "twice", HOSTILE, 1)

    names = ("round", "weight", "same_tokens", "same_tokens_kept")
    assert [tuple(row[name] for name in names) for row in found] == [(0, 1.0, 3, 3), (1, 0.0, 3, 2)]


@pytest.mark.parametrize(
    ("of_run", "sample", "position"),
    [("reasoned", "s0", 0), ("reasoned", "s0", 4), ("reasoned", "none", 1), ("none", "s0", 1)],
)
def test_a_token_that_no_round_decided_on_is_refused_by_name(storage, of_run, sample, position):
    reasoned_run(storage)
    update_index(storage)

    with pytest.raises(SettingsError) as raised:
        explain_token(storage, of_run, sample, position)

    assert str(raised.value) == (
        f"{storage.root}: no round of run '{of_run}' that the index holds has a response token at "
        f"position {position} of sample '{sample}'. The view `tokens` lists them; positions count "
        "from 0, the prompt included."
    )


def test_a_token_whose_file_is_gone_is_not_explained(storage):
    _, selection = reasoned_run(storage)
    with pytest.raises(InputError, match="tokensieve index"):
        explain_token(storage, "reasoned", "s0", 3)
    update_index(storage)
    [*paths] = storage.path(f"{selection.key}/shards").iterdir()
    for path in paths:
        path.unlink()

    with pytest.raises(DamagedError, match=paths[0].name):
        explain_token(storage, "reasoned", "s0", 3)
