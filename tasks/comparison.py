"""Gather the arms of a comparison, and say what each is worth and what it costs."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from prefect import task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE

import sql
from sql.index import update_index
from tasks.evolution import Evolution
from tasks.gate import loss_of
from tasks.pictures import show_picture
from tokensieve.artifact import Artifact, load_artifact
from tokensieve.charts import ArmPoint, comparison_chart
from tokensieve.comparison import (
    EXACT_MATCH,
    LOSS,
    ArmResult,
    ArmRow,
    Metric,
    compare_arms,
    comparison_markdown,
    comparison_table,
    forward_passes,
    missing_controls,
    task_metric,
    verdict,
)
from tokensieve.parts import scores_of
from tokensieve.planning import (
    SELF_EVOLVING,
    ArmPlan,
    ComparePlan,
    EvaluationStep,
    ScoringStep,
    WarmupPlan,
    plan_evaluation,
)
from tokensieve.runs import Arm, load_run
from tokensieve.storage import Storage

WARMED_UP = (
    "The reference was warmed up on the first part of the corpus, which it then scores: its "
    "influence there is partly memory. Give --warmup or --reference to keep them apart."
)
"""What is to be known of a reference that was not given."""


@dataclass(frozen=True)
class TrainedArm:
    """One arm with one seed, trained: ids of what it made, in order."""

    arm: str
    seed: int
    selections: tuple[str, ...]
    models: tuple[str, ...]
    """The last one is evaluated."""
    kept_from: int
    """The first of the selections that its kept share is counted over."""


@dataclass(frozen=True)
class EvaluatedArm:
    """A trained arm and how its last model is evaluated."""

    trained: TrainedArm
    loss: ScoringStep
    answers: EvaluationStep | None
    """Unset: nothing is generated and there are no tasks."""


@dataclass(frozen=True)
class Comparison:
    """What each arm is worth beside random and full, and where the picture lies."""

    run: str
    base_loss: float
    """Held-out loss of the base in nats per token, before any training."""
    results: list[ArmResult]
    lower_is_better: frozenset[str]
    """Figures of lm-eval tasks of which a lower one is better."""
    notes: list[str]
    """What the figures cannot say."""
    picture: str

    def __str__(self) -> str:
        """Return the comparison for the terminal."""
        parts = [f"run {self.run}", f"  base, untrained: held-out loss {self.base_loss:.4f} nats"]
        for metric in self.metrics:
            rows = compare_arms(self.results, metric)
            parts += [comparison_table(rows, metric), verdict(rows, metric)]
        return "\n\n".join([*parts, "\n".join(self.notes), f"  picture    {self.picture}"])

    def markdown(self) -> str:
        """Return the comparison for the Prefect UI."""
        parts = []
        for metric in self.metrics:
            rows = compare_arms(self.results, metric)
            parts += [comparison_markdown(rows, metric), verdict(rows, metric)]
        return "\n\n".join([*parts, *self.notes])

    @property
    def metrics(self) -> list[Metric]:
        """Return what the arms were measured by."""
        tasks = sorted({task for result in self.results for task in result.tasks})
        has_answers = any(result.exact_match is not None for result in self.results)
        of_tasks = [task_metric(task, task in self.lower_is_better) for task in tasks]
        return [LOSS, *([EXACT_MATCH] if has_answers else []), *of_tasks]


def plan_arm_evaluations(
    plan: ComparePlan,
    warmup: WarmupPlan | None,
    arms: Sequence[ArmPlan],
    evolutions: Mapping[int, Evolution],
) -> list[EvaluatedArm]:
    """Return every trained arm with how it is evaluated, in the order of arms and seeds."""
    trained = [_selected_once(arm, warmup) for arm in arms]
    trained += [_evolved(plan.storage, seed, evolution) for seed, evolution in evolutions.items()]
    order = {arm: place for place, arm in enumerate(plan.settings.arms)}
    trained.sort(key=lambda each: (order[each.arm], each.seed))
    return [EvaluatedArm(each, *plan_evaluation(plan, each.models[-1])) for each in trained]


@task(name="record-arms", task_run_name="record-arms", cache_policy=NO_CACHE)
def record_arms(plan: ComparePlan, arms: Sequence[EvaluatedArm]) -> None:
    """Create the document of each evaluated arm. Then bring the index up."""
    for arm in arms:
        plan.run.finish_arm(plan.storage, _document(plan, arm))
    update_index(plan.storage)


@task(name="summarise-comparison", task_run_name="summarise-comparison", cache_policy=NO_CACHE)
def summarise_comparison(plan: ComparePlan, base: ScoringStep) -> Comparison:
    """Return what each arm is worth, and show it in the Prefect UI.

    `base`: the scored base on the held-out corpus.
    """
    results = _results(plan)
    picture = f"runs/{plan.run.name}/comparison.png"
    arms = plan.run.finished_arms(plan.storage)
    comparison = Comparison(
        run=plan.run.name,
        base_loss=loss_of(base),
        results=results,
        lower_is_better=frozenset(task for arm in arms for task in arm.lower_is_better),
        notes=_notes(plan, results),
        picture=plan.storage.place(picture),
    )
    points = [_point(row) for row in compare_arms(results, LOSS)]
    chart = comparison_chart(points, LOSS)
    show_picture("comparison", "Arms compared", chart, plan.storage, picture)
    create_markdown_artifact(comparison.markdown(), key="arms", description=plan.run.name)
    return comparison


def _notes(plan: ComparePlan, results: Sequence[ArmResult]) -> list[str]:
    """Return what the intervals and seconds leave out."""
    notes = ["Seconds are those of this machine: self-evolving trained alone, others side by side."]
    notes += [
        f"{arm} keeps another share than random: add the arm {control} to compare it with."
        for arm, control in missing_controls(results).items()
    ]
    if not plan.needs_reference:
        return notes
    notes.append("One reference serves all seeds: the intervals leave its own chance out.")
    if "reference" not in plan.models and "warmup" not in plan.corpora:
        notes.append(WARMED_UP)
    return notes


def _selected_once(arm: ArmPlan, warmup: WarmupPlan | None) -> TrainedArm:
    """Return the arm; where it needs a reference that was warmed up for it, with that."""
    needs_warmup = warmup is not None and "reference" in arm.selection.scores
    before = [warmup] if warmup is not None and needs_warmup else []
    return TrainedArm(
        arm.arm,
        arm.seed,
        (*(each.selection.artifact.id for each in before), arm.selection.artifact.id),
        (*(each.training.artifact.id for each in before), arm.training.artifact.id),
        kept_from=len(before),
    )


def _evolved(storage: Storage, seed: int, evolution: Evolution) -> TrainedArm:
    run = load_run(storage, evolution.run)
    assert run is not None, f"{evolution.run}: the flow made it"
    rounds = [finished.round for finished in run.finished_rounds(storage)]
    selections = tuple(round.selection for round in rounds)
    models = tuple(round.model for round in rounds if round.model)
    return TrainedArm(SELF_EVOLVING, seed, selections, models, kept_from=0)


def _document(plan: ComparePlan, arm: EvaluatedArm) -> Arm:
    trained, storage = arm.trained, plan.storage
    notes = arm.answers.artifact.required_commit().notes if arm.answers else {}
    selections = [load_artifact(storage, "selections", id) for id in trained.selections]
    models = [load_artifact(storage, "models", id) for id in trained.models]
    return Arm(
        arm=trained.arm,
        seed=trained.seed,
        selections=list(trained.selections),
        models=list(trained.models),
        loss=loss_of(arm.loss),
        exact_match=notes.get("exact_match"),
        tasks=notes.get("tasks", {}),
        lower_is_better=notes.get("lower_is_better", []),
        kept_share=_kept_share(selections[trained.kept_from :], models),
        forward_passes=forward_passes(
            scored_tokens=_scored_tokens(selections, models),
            trained_tokens=_tokens(models),
            corpus_tokens=_tokens([_over_drop(plan, arm.trained)]),
            training=plan.settings.training,
        ),
    )


def _over_drop(plan: ComparePlan, trained: TrainedArm) -> Artifact:
    """Return something that looked at the whole corpus, rows that repeat others left out."""
    if trained.arm == SELF_EVOLVING:
        return plan.base.artifact
    return load_artifact(plan.storage, "selections", trained.selections[-1])


def _kept_share(selections: Iterable[Artifact], models: Iterable[Artifact]) -> float:
    """Return the share of the response tokens that is kept: where a model was trained on the
    selection, by what was kept in its last epoch.
    """
    trained = {model.plan["selection"]: _totals(model)["kept_tokens"] for model in models}
    selected = [(each, _totals(each)) for each in selections]
    kept = sum(trained.get(each.id, totals["kept_tokens"]) for each, totals in selected)
    return kept / sum(totals["response_tokens"] for _, totals in selected)


def _scored_tokens(selections: Iterable[Artifact], models: Iterable[Artifact]) -> int:
    """Return the tokens that models have scored, in training too. Numbers that were made elsewhere
    took no model here.
    """
    before = _tokens(scores for scores in scores_of(selections) if "model" in scores.plan)
    return before + sum(_totals(model)["scored_tokens"] for model in models)


def _totals(artifact: Artifact) -> Mapping[str, int]:
    return artifact.required_commit().totals


def _tokens(artifacts: Iterable[Artifact]) -> int:
    return sum(_totals(artifact)["tokens"] for artifact in artifacts)


def _results(plan: ComparePlan) -> list[ArmResult]:
    """Return the arms as the index has them, which knows how long they took."""
    with sql.connect_published(plan.storage) as connection:
        rows = sql.rows(sql.run(connection, "list_arms", run=plan.run.name))
    seconds = {(row["arm"], row["seed"]): row["seconds"] for row in rows}
    return [
        ArmResult(
            arm.arm,
            arm.seed,
            arm.loss,
            arm.exact_match,
            arm.tasks,
            arm.kept_share,
            arm.forward_passes,
            seconds[arm.arm, arm.seed],
        )
        for arm in plan.run.finished_arms(plan.storage)
    ]


def _point(row: ArmRow) -> ArmPoint:
    versus = row.versus["random"]
    if versus is None:
        return ArmPoint(row.arm, row.values, None, None)
    interval = None if versus.low is None or versus.high is None else (versus.low, versus.high)
    return ArmPoint(row.arm, row.values, versus.mean, interval)
