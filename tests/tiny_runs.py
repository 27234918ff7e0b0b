"""Small runs that evolve or compare, with numbers that tests can write out."""

from tests.tiny_workspace import (
    Sample,
    Step,
    begin_run,
    make_corpus,
    make_model,
    make_part,
    make_scores,
    make_selection,
)
from tokensieve.artifact import Artifact
from tokensieve.runs import Arm, Outcome, Round, Run
from tokensieve.storage import LocalStorage
from tokensieve.timings import Timing

A = Sample("a", "one", (0, 1, 2, 3))
B = Sample("b", "two", (0, 4, 5))
C = Sample("c", "one", (0, 6))


def begin_evolving_run(storage: LocalStorage) -> tuple[Run, Artifact]:
    """Return a run of at most 3 rounds of which none was begun, and its corpus of A, B and C."""
    corpus = make_corpus(storage, [[A, B, C]])
    corpora = {"drop": corpus.id}
    run = begin_run(storage, "evolve-1", flow="evolve", corpora=corpora, num_rounds=3)
    return run, corpus


def finish_first_round(run: Run, corpus: Artifact) -> Round:
    """Finish round 0: every token of A and B is trained on, in 3 steps, one of them skipped."""
    part = make_part(corpus, [[A, B]])
    selection = make_selection(part, [[1, 1, 1, 1, 1]])
    steps = [Step(None, 0, 0), Step(2.0, 3, 6), Step(1.5, 2, 5, 0.25, 4.0)]
    model = make_model(corpus.storage, selection, steps)
    Timing(seconds=3.0, tokens=11, first_step=1, step_seconds=[0.5, 1.0, 0.25]).publish(model)
    outcome = Outcome(
        promoted=True, reason="the first reference", loss_before=None, loss_after=None
    )
    return finish_trained_round(run, 0, (part, {}, selection, model), outcome)


def finish_second_round(run: Run, corpus: Artifact) -> Round:
    """Finish round 1: of B and C, two of three tokens are kept; its model is rejected."""
    part = make_part(corpus, [[B, C]])
    scores = {
        "base": make_scores(part, "base", [[1.0, 2.0, 3.0]]),
        "reference": make_scores(part, "reference", [[0.5, 2.0, 1.0]]),
    }
    selection = make_selection(part, [[1, 0, 1]], scores=scores)
    Timing(seconds=0.5, tokens=5).publish(scores["reference"])
    Timing(seconds=0.25, tokens=5).publish(selection)
    model = make_model(corpus.storage, selection, [Step(1.25, 2, 4)])
    outcome = Outcome(promoted=False, reason="worse", loss_before=1.0, loss_after=1.25)
    return finish_trained_round(run, 1, (part, scores, selection, model), outcome)


def chosen_in_training(
    storage: LocalStorage, second: tuple[float | None, ...] = (None, 1, 0, 1)
) -> None:
    """Finish two rounds over A and B whose trainings decided at each step on what they keep."""
    corpus = make_corpus(storage, [[A], [B]])
    of_run = begin_run(
        storage, "online-1", flow="evolve", corpora={"drop": corpus.id}, num_rounds=2
    )
    for number, of_a in enumerate(((None, 1, 0, 0), second)):
        scores = {"base": make_scores(corpus, "base", [[1.0, 2.0, 3.0], [4.0, 5.0]])}
        unscorable = [[False] * 3, [True, False]]
        selection = make_selection(corpus, [[1, 1, 1], [0, 1]], unscorable, scores)
        decided = {"a": of_a, "b": [None, None, 0.0]}
        steps = [Step(1.5, 1, 4, scored_tokens=7)]
        model = make_model(storage, selection, steps, seed=number, decided=decided)
        outcome = Outcome(promoted=True, reason="better", loss_before=None, loss_after=None)
        finish_trained_round(of_run, number, (corpus, scores, selection, model), outcome)


def finish_trained_round(
    run: Run,
    number: int,
    made: tuple[Artifact, dict[str, Artifact], Artifact, Artifact],
    outcome: Outcome | None,
) -> Round:
    """Return a finished round of (corpus, scores by role, selection, model)."""
    corpus, scores, selection, model = made
    round = Round(
        round=number,
        corpus=corpus.id,
        scores={role: artifact.id for role, artifact in scores.items()},
        selection=selection.id,
        model=model.id,
    )
    run.begin_round(corpus.storage, round)
    run.finish_round(corpus.storage, round, outcome)
    return round


def begin_comparison(storage: LocalStorage) -> tuple[Run, Arm]:
    """Return a run of two arms and two seeds of which none is finished, and an arm `rho` of it."""
    corpus = make_corpus(storage, [[A, B]])
    holdout = make_corpus(storage, [[Sample("h", "one", (0, 1))]])
    run = begin_run(
        storage,
        "compare-1",
        flow="compare",
        settings={"arms": ["full", "rho"], "seeds": [0, 1]},
        corpora={"drop": corpus.id, "holdout": holdout.id},
        num_rounds=0,
    )
    selections, models = _selected_and_trained_twice(corpus)
    arm = Arm(
        arm="rho",
        seed=1,
        selections=[selection.id for selection in selections],
        models=[model.id for model in models],
        loss=1.5,
        exact_match=0.5,
        tasks={"arc acc": 0.25},
        kept_share=0.75,
        forward_passes=5.0,
    )
    return run, arm


def _selected_and_trained_twice(corpus: Artifact) -> tuple[list[Artifact], list[Artifact]]:
    """Return selections and models that took 15 s: 8 of scores, 4 of a selection, 2 and 1.

    Each selection is made from a slice of the same scores.
    """
    scores = make_scores(corpus, "base", [[1.0, 2.0, 3.0, 4.0, 5.0]])
    parts = [make_part(corpus, [[sample]]) for sample in (A, B)]
    slices = [_sliced(scores, part, row) for row, part in enumerate(parts)]
    selections = [
        make_selection(parts[0], [[1, 1, 1]], scores={"base": slices[0]}),
        make_selection(parts[1], [[1, 0]], scores={"base": slices[1]}),
    ]
    models = [make_model(corpus.storage, each, [Step(1.5, 2, 4)]) for each in selections]
    took = ((8.0, scores), (4.0, selections[1]), (2.0, models[0]), (1.0, models[1]))
    for seconds, artifact in took:
        Timing(seconds=seconds, tokens=4).publish(artifact)
    return selections, models


def _sliced(scores: Artifact, part: Artifact, row: int) -> Artifact:
    """Return the scores of a part that is one sample."""
    plan = {"num_shards": 1, "corpus": part.id, "of": scores.id}
    sliced = Artifact(scores.storage, "scores", plan)
    sliced.declare()
    table = scores.read_table(scores.required_receipt(0), "shards")
    sliced.publish(0, {"shards": table.slice(row, 1)}, {"non_finite_tokens": 0})
    sliced.commit()
    return sliced
