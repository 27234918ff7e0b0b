"""What the index holds of rounds that train, and of the arms of comparisons."""

from pathlib import Path

import pytest

from sql import connect_published, run
from sql import rows as named
from sql.index import rebuild_index, update_index
from tests.reading import index_content, rows
from tests.tiny_runs import (
    A,
    begin_comparison,
    begin_evolving_run,
    chosen_in_training,
    finish_first_round,
    finish_second_round,
    finish_trained_round,
)
from tests.tiny_workspace import (
    Sample,
    Step,
    begin_run,
    finish_run,
    make_corpus,
    make_model,
    make_selection,
)
from tokensieve.artifact import Artifact
from tokensieve.errors import DamagedError
from tokensieve.runs import Outcome
from tokensieve.storage import LocalStorage
from tokensieve.timings import Timing, step_seconds

HOSTILE = "'); DROP TABLE rounds; --"


@pytest.fixture
def storage(tmp_path):
    storage = LocalStorage(tmp_path / "workspace")
    storage.probe()
    return storage


@pytest.fixture
def evolved(storage):
    """Return the two finished rounds of a run that evolves, of at most three."""
    of_run, corpus = begin_evolving_run(storage)
    rounds = finish_first_round(of_run, corpus), finish_second_round(of_run, corpus)
    update_index(storage)
    return rounds


def overlaps(storage, before, now, shards=None) -> list[tuple]:
    """Return the overlap of two rounds with these weights over the same samples."""
    samples = [
        [Sample("a", "one", (0, 1, 2, 3)), Sample("b", HOSTILE, (0, 4, 5))],
        [Sample("c", "one", (0, 6))],
    ]
    first, second = (make_corpus(storage, each) for each in (samples, shards or samples))
    rounds = [
        (first, {}, make_selection(first, before)),
        (second, {}, make_selection(second, now)),
    ]
    finish_run(storage, "twice", rounds)
    update_index(storage)
    return rows(storage, "SELECT * EXCLUDE (run, round) FROM overlap_stats ORDER BY source")


def test_a_round_is_recorded_with_its_model_and_what_became_of_it(storage, evolved):
    first, second = evolved
    whole = rows(storage, "SELECT corpus FROM run_corpora WHERE role = 'drop'")[0][0]

    assert rows(storage, "SELECT run, flow, num_rounds FROM runs") == [("evolve-1", "evolve", 3)]
    assert rows(storage, "SELECT * EXCLUDE run FROM rounds ORDER BY round") == [
        (
            *(0, first.corpus, whole, first.selection, first.model),
            *(True, "the first reference", None, None),
        ),
        (
            *(1, second.corpus, whole, second.selection, second.model),
            *(False, "worse", 1.0, 1.25),
        ),
    ]
    assert rows(storage, "SELECT * EXCLUDE run FROM round_scores ORDER BY role") == [
        (1, "base", second.scores["base"]),
        (1, "reference", second.scores["reference"]),
    ]


def test_the_tokens_of_a_part_have_the_texts_of_the_whole_corpus(storage, evolved):
    assert rows(
        storage, "SELECT sample_id, position, text, weight FROM tokens WHERE round = 1 ORDER BY ALL"
    ) == [("b", 1, "\u202e", 1.0), ("b", 2, "=1+1", 0.0), ("c", 1, "é", 1.0)]
    assert rows(storage, "SELECT text FROM token_stats WHERE round = 1 ORDER BY token_id") == [
        ("\u202e",),
        ("=1+1",),
        ("é",),
    ]
    assert rows(storage, "SELECT count(DISTINCT corpus) FROM vocabulary") == [(1,)]


def test_rows_of_a_part_are_its_samples(storage, evolved):
    assert rows(
        storage, "SELECT read_rows, samples, quarantined_rows, skipped_rows FROM round_stats"
    ) == [(2, 2, 0, 0), (2, 2, 0, 0)]


def test_the_overlap_of_two_rounds_is_counted_over_the_tokens_that_they_share(storage):
    found = overlaps(storage, [[1, 0, -0.5, 1, 0], [1]], [[1, 1, 0, 1, 1], [1]])

    assert found == [
        (HOSTILE, 2, 1, 2, 1, 1 / 2),
        ("one", 4, 2, 3, 2, 2 / 3),
        (None, 6, 3, 5, 3, 3 / 5),
    ]


def test_rounds_overlap_where_their_parts_do(storage, evolved):
    assert rows(storage, "SELECT * EXCLUDE run FROM overlap_stats ORDER BY source") == [
        (1, "two", 2, 2, 1, 1, 0.5),
        (1, None, 2, 2, 1, 1, 0.5),
    ]


def test_rounds_of_different_samples_have_no_overlap(storage):
    other = [[Sample("d", "one", (0, 1, 2, 3)), Sample("e", "one", (0, 4, 5))]]

    assert overlaps(storage, [[1, 1, 1, 1, 1], [1]], [[1, 1, 1, 1, 1]], other) == []


def _damage(part) -> str:
    """Change a byte of the only file of a part, but not its footer; return the file's name."""
    [file] = part.iterdir()
    data = file.read_bytes()
    file.write_bytes(data[:8] + bytes([data[8] ^ 1]) + data[9:])
    return file.name


def test_a_round_that_shares_no_sample_with_the_one_before_does_not_read_it_again(storage):
    corpora = [make_corpus(storage, [[Sample(id, "one", (0, 1))]]) for id in ("a", "b")]
    rounds = [(corpus, {}, make_selection(corpus, [[1]])) for corpus in corpora]
    finish_run(storage, "twice", rounds)
    storage.path("runs/twice/round-001.json").rename(storage.root / "kept")
    update_index(storage)
    (storage.root / "kept").rename(storage.path("runs/twice/round-001.json"))
    _damage(storage.path(f"{rounds[0][2].key}/shards"))

    update_index(storage)

    assert rows(storage, "SELECT round FROM rounds ORDER BY ALL") == [(0,), (1,)]


def test_samples_of_one_id_and_different_tokens_are_not_shared(storage):
    other = [[Sample("a", "one", (0, 1, 2, 4)), Sample("b", HOSTILE, (0, 4, 5))]]

    assert overlaps(storage, [[1, 1, 1, 1, 1], [1]], [[1, 1, 1, 1, 1]], other) == [
        (HOSTILE, 2, 2, 2, 2, 1.0),
        (None, 2, 2, 2, 2, 1.0),
    ]


def test_the_overlap_of_two_rounds_that_keep_nothing_is_unknown(storage):
    nothing = [[0, 0, 0, 0, 0], [0]]

    assert overlaps(storage, nothing, nothing)[-1] == (None, 6, 0, 0, 0, None)


def test_a_training_is_recorded_with_what_it_was_made_of(storage, evolved):
    first, _ = evolved

    assert rows(
        storage,
        f"SELECT * EXCLUDE settings, settings LIKE '%\"seed\": 0}}' FROM trainings"
        f" WHERE model = '{first.model}'",
    ) == [
        (
            *(first.model, f"content of {first.model}", first.corpus, first.selection),
            *("feed", "float32", "cpu", 4, 3, None, 5, 3, 1, 11, 0, 3.0, True),
        )
    ]


def test_every_optimizer_step_is_recorded_with_its_speed(storage, evolved):
    first, second = evolved

    with connect_published(storage) as connection:
        steps = run(connection, "list_training_steps", model=first.model).fetchall()
        untimed = run(connection, "list_training_steps", model=second.model).fetchall()

    assert steps == [
        (1, None, 0.5, 0, 0, 0, None, 0.5, 0.0),
        (2, 2.0, 0.5, 3, 6, 0, None, 1.0, 6.0),
        (3, 1.5, 0.25, 2, 5, 0, 4.0, 0.25, 20.0),
    ]
    assert untimed == [(1, 1.25, 0.5, 2, 4, 0, None, None, None)]


def test_a_step_that_was_done_again_took_the_mean_of_its_times():
    before = Timing(seconds=3.0, tokens=1, first_step=1, step_seconds=[1.0, 2.0])
    after = Timing(seconds=9.0, tokens=1, first_step=2, step_seconds=[4.0, 5.0])

    assert step_seconds([after, before], 4) == [1.0, 3.0, 5.0, None]


def _trained_once(storage, steps, change) -> Artifact:
    """Finish a run that trains a model with these steps, of which COMMIT counts something else."""
    corpus = make_corpus(storage, [[A]])
    selection = make_selection(corpus, [[1, 1, 1]])
    made = make_model(storage, selection, steps)
    receipt = made.required_receipt(0)
    model = Artifact(storage, "models", {**made.plan, "init": "other"})
    model.declare()
    model.publish(0, {"steps": made.read_table(receipt, "steps")}, receipt.counts | change)
    model.commit({"fingerprint": "beef"})
    of_run = begin_run(storage, "train-1", flow="train", corpora={"drop": corpus.id})
    finish_trained_round(of_run, 0, (corpus, {}, selection, model), None)
    return model


@pytest.mark.parametrize("change", [{"steps": 3}, {"skipped_steps": 1}, {"tokens": 10}])
def test_steps_that_are_not_those_the_commit_counts_stop_the_index(storage, change):
    model = _trained_once(storage, [Step(2.0, 3, 6), Step(1.5, 2, 5)], change)

    with pytest.raises(DamagedError, match=rf"models/{model.id}/steps/00000-.*2, 0 skipped, 11"):
        update_index(storage)


def test_a_loss_without_a_kept_token_stops_the_index(storage):
    _trained_once(storage, [Step(2.0, 0, 6)], {})

    with pytest.raises(DamagedError, match="kept_tokens = 0"):
        update_index(storage)


def test_a_model_that_was_not_judged_is_neither_promoted_nor_rejected(storage):
    model = _trained_once(storage, [Step(2.0, 3, 6)], {})
    update_index(storage)

    assert rows(storage, "SELECT model, promoted, reason FROM rounds") == [(model.id, None, None)]


def test_what_each_step_cost_is_the_sum_of_its_timings_or_unknown(storage):
    of_run, corpus = begin_evolving_run(storage)
    finish_first_round(of_run, corpus)
    second = finish_second_round(of_run, corpus)
    scores = second.artifacts(storage)["scores.reference"]
    Timing(seconds=1.5, tokens=10).publish(scores)
    update_index(storage)

    with connect_published(storage) as connection:
        costs = run(connection, "list_step_costs", run="evolve-1").fetchall()

    made = {step: id for step, (_, id) in second.names().items()}
    assert costs[3:] == [
        (1, "corpus", made["corpus"], None, None),
        (1, "model", made["model"], None, None),
        (1, "scores.base", made["scores.base"], None, None),
        (1, "scores.reference", made["scores.reference"], 2.0, 15),
        (1, "selection", made["selection"], 0.25, 5),
    ]
    assert [cost[1:] for cost in costs[:3] if cost[1] == "model"] == [
        ("model", costs[1][2], 3.0, 11)
    ]


def test_the_rounds_of_a_run_are_summarised_in_one_row_each(storage, evolved):
    with connect_published(storage) as connection:
        first, second = named(run(connection, "summarise_rounds", run="evolve-1"))

    assert second == {
        "round": 1,
        "model": evolved[1].model,
        "response_tokens": 3,
        "candidate_tokens": None,
        "kept_tokens": 2,
        "kept_share": 2 / 3,
        "positive_share": 2 / 3,
        "mean_influence": 2.5 / 3,
        "influence_p05": 0.0,
        "influence_p25": 0.0,
        "influence_p50": 0.5,
        "influence_p75": 2.0,
        "influence_p95": 2.0,
        "overlap": 0.5,
        "loss_before": 1.0,
        "loss_after": 1.25,
        "promoted": False,
        "reason": "worse",
        "first_loss": 1.25,
        "last_loss": 1.25,
        "steps": 1,
        "skipped_steps": 0,
        "seconds": 0.75,
        "scoring_seconds": 0.5,
        "selecting_seconds": 0.25,
        "training_seconds": None,
        "scored_tokens": 5,
        "trained_tokens": 4,
        "scored_in_training": 0,
    }
    assert (first["first_loss"], first["last_loss"], first["skipped_steps"]) == (2.0, 1.5, 1)
    assert (first["overlap"], first["influence_p50"], first["seconds"]) == (None, None, 3.0)


def test_rejected_rows_of_every_corpus_are_told_by_its_role(storage):
    corpora = {}
    for line, role in enumerate(("drop", "warmup", "holdout"), 1):
        bad = {"outcome": "quarantined", "file": f"{role}.jsonl", "line": line, "reason": "empty"}
        corpora[role] = make_corpus(storage, [[Sample(role, "one", (0, 1))]], rejected=[bad])
    ids = {role: corpus.id for role, corpus in corpora.items()}
    of_run = begin_run(storage, "evolve-1", flow="evolve", corpora=ids, num_rounds=2)
    selection = make_selection(corpora["warmup"], [[1]])
    model = make_model(storage, selection, [Step(1.0, 1, 2)])
    finish_trained_round(of_run, 0, (corpora["warmup"], {}, selection, model), None)
    update_index(storage)

    assert rows(storage, "SELECT run, role, file, line FROM quarantine ORDER BY line") == [
        ("evolve-1", "drop", "drop.jsonl", 1),
        ("evolve-1", "warmup", "warmup.jsonl", 2),
        ("evolve-1", "holdout", "holdout.jsonl", 3),
    ]


def test_damaged_rejected_rows_of_a_corpus_that_no_round_works_on_stop_the_index(storage):
    bad = {"outcome": "quarantined", "file": "h.jsonl", "line": 1, "reason": "empty"}
    holdout = make_corpus(storage, [[Sample("h", "one", (0, 1))]], rejected=[bad])
    corpora = {"holdout": holdout.id}
    of_run = begin_run(storage, "evolve-1", flow="evolve", corpora=corpora, num_rounds=3)
    finish_first_round(of_run, make_corpus(storage, [[A]]))
    name = _damage(storage.path(f"{holdout.key}/rejected"))

    with pytest.raises(DamagedError, match=f"{holdout.key}/rejected/{name}"):
        update_index(storage)


def test_finished_arms_are_in_the_index_though_their_run_has_no_round(storage):
    of_run, arm = begin_comparison(storage)
    tasks = {"arc acc": 0.25, HOSTILE: 7.0}
    of_run.finish_arm(storage, arm.model_copy(update={"tasks": tasks}))
    update_index(storage)

    with connect_published(storage) as connection:
        arms = run(connection, "list_arms", run="compare-1").fetchall()
        figures = run(connection, "list_arm_tasks", run="compare-1").fetchall()

    assert arms == [("rho", 1, 1.5, 0.5, 0.75, 5.0, 15.0, arm.models[1])]
    assert figures == [("rho", 1, HOSTILE, 7.0), ("rho", 1, "arc acc", 0.25)]
    assert rows(storage, "SELECT selections, models FROM arms") == [(arm.selections, arm.models)]
    assert rows(storage, "SELECT count(*) FROM trainings") == [(2,)]
    assert rows(storage, "SELECT role FROM run_corpora ORDER BY ALL") == [("drop",), ("holdout",)]
    assert rows(storage, "SELECT count(*) FROM rounds") == [(0,)]


def test_arms_are_added_as_they_are_finished_and_the_index_equals_one_made_anew(storage):
    of_run, arm = begin_comparison(storage)
    for number, (name, seed) in enumerate(of_run.planned_arms):
        change = {"arm": name, "seed": seed, "exact_match": None}
        of_run.finish_arm(storage, arm.model_copy(update=change))
        updated = index_content(update_index(storage))
        assert len(updated["main.arms"]) == number + 1

    assert updated == index_content(rebuild_index(storage))
    assert [row[:2] for row in updated["main.documents"]] == [
        ("compare-1", "arms/full-0"),
        ("compare-1", "arms/full-1"),
        ("compare-1", "arms/rho-0"),
        ("compare-1", "arms/rho-1"),
    ]


def test_an_index_updated_round_by_round_equals_one_made_from_nothing(storage):
    of_run, corpus = begin_evolving_run(storage)
    finish_first_round(of_run, corpus)
    update_index(storage)
    finish_second_round(of_run, corpus)

    updated = index_content(update_index(storage))

    assert updated == index_content(rebuild_index(storage))
    assert len(updated["main.overlap_stats"]) == 2


def test_an_update_with_no_new_round_and_no_new_arm_leaves_the_very_file(storage, evolved):
    before = Path(update_index(storage)).stat()

    assert Path(update_index(storage)).stat().st_ino == before.st_ino


def test_a_round_that_ended_otherwise_than_the_index_has_it_is_recorded_anew(storage, evolved):
    of_run, _ = begin_evolving_run(storage)
    storage.path("runs/evolve-1/round-001.json").unlink()
    outcome = Outcome(promoted=True, reason="better", loss_before=1.0, loss_after=0.875)
    of_run.finish_round(storage, evolved[1], outcome)
    update_index(storage)

    assert rows(storage, "SELECT round, promoted, loss_after FROM rounds ORDER BY round") == [
        (0, True, None),
        (1, True, 0.875),
    ]


def test_a_corpus_that_is_not_finished_though_its_round_is_stops_the_index(storage):
    of_run, corpus = begin_evolving_run(storage)
    finish_first_round(of_run, corpus)
    storage.path(f"{corpus.key}/COMMIT.json").unlink()

    with pytest.raises(DamagedError, match=f"{corpus.key}/COMMIT.json: is missing"):
        update_index(storage)


def test_what_a_training_decided_is_what_its_round_kept(storage):
    chosen_in_training(storage)
    update_index(storage)

    columns = "candidate_tokens, kept_tokens, dropped_tokens, unscorable_tokens, kept_share"
    assert rows(
        storage, f"SELECT round, {columns}, empty_samples FROM round_stats ORDER BY round"
    ) == [(0, 4, 1, 3, 1, 1 / 5, 1), (1, 4, 2, 2, 1, 2 / 5, 1)]
    assert rows(
        storage, "SELECT sample_id, kept_tokens FROM sample_stats WHERE round = 1 ORDER BY ALL"
    ) == [("a", 2), ("b", 0)]
    assert rows(
        storage,
        "SELECT kept_mean, dropped_mean FROM attribute_stats "
        "WHERE round = 1 AND attribute = 'base_nll'",
    ) == [(2.0, (2.0 + 4.0 + 5.0) / 3)]
    assert rows(
        storage,
        "SELECT shared_tokens, kept_before, kept_now, kept_both FROM overlap_stats ORDER BY source",
    ) == [(3, 1, 2, 1), (2, 0, 0, 0), (5, 1, 2, 1)]


def test_every_token_says_what_the_training_decided_on_it(storage):
    chosen_in_training(storage)
    update_index(storage)

    assert rows(
        storage,
        "SELECT sample_id, position, weight, decided FROM tokens WHERE round = 1 ORDER BY ALL",
    ) == [("a", 1, 1, 1), ("a", 2, 1, 0), ("a", 3, 1, 1), ("b", 1, 0, None), ("b", 2, 1, 0)]
    assert rows(storage, "SELECT decided FROM samples WHERE round = 0 AND sample_id = 'a'") == [
        ([None, 1.0, 0.0, 0.0],)
    ]


def test_a_selection_that_stands_has_no_decisions(storage, evolved):
    assert rows(storage, "SELECT DISTINCT decided FROM tokens") == [(None,)]
    assert rows(storage, "SELECT DISTINCT candidate_tokens FROM round_stats") == [(None,)]
    assert rows(storage, "SELECT DISTINCT candidate_tokens FROM trainings") == [(None,)]


def test_the_passes_that_decide_are_counted_with_the_training(storage):
    chosen_in_training(storage)
    update_index(storage)

    assert rows(
        storage, "SELECT candidate_tokens, kept_tokens, tokens, scored_tokens FROM trainings"
    ) == [(4, 1, 4, 7), (4, 2, 4, 7)]
    assert rows(storage, "SELECT DISTINCT scored_tokens FROM training_steps") == [(7,)]


def test_decisions_that_are_not_along_the_corpus_are_damage(storage):
    chosen_in_training(storage, second=(None, 1, 0))

    with pytest.raises(DamagedError, match=r"decisions.*: .* are not the samples of the corpus"):
        update_index(storage)
