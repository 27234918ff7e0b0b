"""Plan a comparison: every arm selects, trains from the same base and is evaluated alike."""

from dataclasses import dataclass
from typing import Any

from tokensieve.artifact import Artifact, load_artifact
from tokensieve.documents import content_id
from tokensieve.errors import SettingsError, shortened
from tokensieve.evaluation import check_pattern, check_tasks
from tokensieve.ingest.directories import find_files
from tokensieve.methods import METHODS, find_method
from tokensieve.models import check_model_directory, load_tokenizer, resolved_dtype
from tokensieve.parts import Part, part_of
from tokensieve.planning.evolve import HELD_OUT
from tokensieve.planning.models import (
    ModelSpec,
    check_different,
    check_pair,
    max_length,
    model_spec,
    trained_spec,
)
from tokensieve.planning.room import check_room, num_committed, training_bytes
from tokensieve.planning.steps import (
    CorpusStep,
    EvaluationStep,
    ScoringStep,
    SelectionStep,
    TrainingStep,
    corpus_steps,
    decisive_evaluation,
    decisive_training,
    evaluation_step,
    scoring_step,
    selection_step,
    training_step,
)
from tokensieve.runs import Run
from tokensieve.settings import CompareSettings, EvolveSettings, SelectionSettings
from tokensieve.storage import LocalStorage
from tokensieve.templates import load_template

SELF_EVOLVING = "self-evolving"
"""The arm that goes in rounds; every other arm is a method."""


@dataclass(frozen=True)
class ComparePlan:
    """What all arms share."""

    settings: CompareSettings
    on_gpu: bool
    corpora: dict[str, CorpusStep]
    """By role: `drop`, `holdout`, and `warmup` where files are given for it."""
    base: ScoringStep
    """The base over the corpus."""
    reference: ModelSpec | None
    """The reference that was given. Unset: the base after the warm-up."""
    run: Run

    @property
    def storage(self) -> LocalStorage:
        """Return the workspace."""
        return self.base.artifact.storage

    @property
    def drop(self) -> Artifact:
        """Return the corpus that every arm trains on."""
        return self.corpora["drop"].artifact

    @property
    def methods(self) -> list[str]:
        """Return the arms that select once."""
        return [arm for arm in self.settings.arms if arm != SELF_EVOLVING]

    @property
    def roles(self) -> set[str]:
        """Return the models whose scores these arms need."""
        return {role for arm in self.methods for role in find_method(arm).roles}

    def declare(self) -> None:
        """Publish the plans of the run and of its corpora.

        Raises SettingsError if the workspace cannot be used, ResourceError if it has not the room.
        """
        self.storage.probe()
        artifacts = [step.artifact for step in self.corpora.values()]
        num_bytes = sum(step.num_bytes for step in self.corpora.values())
        num_left = _num_models(self.settings) - num_committed(self.storage, "models")
        model_bytes = training_bytes(self.settings.base, num_left, self.settings.training)
        check_room(self.storage, num_bytes, artifacts, model_bytes)
        for artifact in artifacts:
            artifact.declare()
        self.run.publish(self.storage)


@dataclass(frozen=True)
class WarmupPlan:
    """How the base becomes the first reference: trained on all tokens of a part, or of files."""

    part: Part | None
    selection: SelectionStep
    training: TrainingStep


@dataclass(frozen=True)
class ArmPlan:
    """One arm that selects once, with one seed."""

    arm: str
    seed: int
    selection: SelectionStep
    training: TrainingStep


def plan_compare(settings: CompareSettings, on_gpu: bool) -> ComparePlan:
    """Return what all arms share; check everything that can be checked before the work.

    Nothing is written. Raises SettingsError and InputError.
    """
    _check_arms(settings)
    check_pattern(settings.evaluation)
    check_tasks(settings.evaluation)
    dtype = settings.scoring.dtype
    base = model_spec(settings.base, dtype, on_gpu)
    reference = None
    if settings.reference is not None:
        check_pair(settings.base, settings.reference, settings.corpus.template)
        reference = model_spec(settings.reference, dtype, on_gpu)
        check_different(base, reference)
    corpora = corpus_steps(settings, _max_length(settings))
    drop = corpora["drop"].artifact
    scoring = scoring_step(drop, "base", base, settings.scoring, settings.cluster)
    run = _run(settings, corpora, scoring, reference)
    return ComparePlan(settings, on_gpu, corpora, scoring, reference, run)


def check_compare_given(settings: CompareSettings) -> None:
    """Raise what `plan_compare` would raise, as far as a second of looking can tell."""
    _check_arms(settings)
    check_pattern(settings.evaluation)
    for model in filter(None, (settings.base, settings.reference)):
        check_model_directory(model)
    load_template(settings.corpus.template, load_tokenizer(settings.base))
    _max_length(settings)
    for files in (settings.files, settings.warmup, settings.holdout):
        find_files([file for file in files if "://" not in file], settings.corpus.split)


def plan_warmup(plan: ComparePlan) -> WarmupPlan | None:
    """Return how the reference is made; None if it was given, or no arm needs one.

    It is the warm-up of self-evolving cleaning, trained once with the seed of the training
    settings, so that other seeds of arms change nothing. The corpora are committed.
    """
    if plan.reference is not None or "reference" not in plan.roles:
        return None
    part, corpus = None, plan.corpora.get("warmup", plan.corpora["drop"]).artifact
    if "warmup" not in plan.corpora:
        num_parts = plan.settings.rounds.rounds + 1
        part = part_of(corpus, corpus.required_commit(), 0, num_parts)
        corpus = part.artifact
    selection = selection_step(corpus, {}, SelectionSettings(method="full"))
    return WarmupPlan(part, selection, _training(plan, selection, plan.settings.training.seed))


def plan_scorings(plan: ComparePlan, warmup: WarmupPlan | None) -> list[ScoringStep]:
    """Return how the corpus is scored for the arms that select once; the warm-up is trained."""
    settings, dtype = plan.settings, plan.settings.scoring.dtype
    models = {"base": plan.base.model}
    if warmup is not None:
        models["reference"] = trained_spec(warmup.training.artifact, dtype, plan.on_gpu)
    elif plan.reference is not None:
        models["reference"] = plan.reference
    return [
        scoring_step(plan.drop, role, models[role], settings.scoring, settings.cluster)
        for role in sorted(plan.roles)
    ]


def base_on_holdout(plan: ComparePlan) -> ScoringStep:
    """Return how the untrained base is scored on the held-out corpus."""
    holdout, settings = plan.corpora["holdout"].artifact, plan.settings
    return scoring_step(holdout, HELD_OUT, plan.base.model, settings.scoring, settings.cluster)


def plan_arms(plan: ComparePlan, scorings: list[ScoringStep]) -> list[ArmPlan]:
    """Return the arms that select once, each with every seed."""
    scores = {scoring.role: scoring.artifact for scoring in scorings}
    arms = []
    for arm in plan.methods:
        for seed in plan.settings.seeds:
            chosen = SelectionSettings(method=arm, keep=plan.settings.keep, seed=seed)
            selection = selection_step(plan.drop, scores, chosen)
            arms.append(ArmPlan(arm, seed, selection, _training(plan, selection, seed)))
    return arms


def evolve_settings(plan: ComparePlan, seed: int) -> EvolveSettings:
    """Return the settings of the self-evolving arm: without a gate, which would see the holdout."""
    settings = plan.settings
    return EvolveSettings(
        files=settings.files,
        base=settings.base,
        workspace=settings.workspace,
        cluster=settings.cluster,
        corpus=settings.corpus.model_copy(update={"max_length": _max_length(settings)}),
        scoring=settings.scoring,
        warmup=settings.warmup,
        selection=SelectionSettings(keep=settings.keep, seed=seed),
        rounds=settings.rounds,
        training=settings.training.model_copy(update={"seed": seed}),
    )


def plan_evaluation(plan: ComparePlan, model: str) -> tuple[ScoringStep, EvaluationStep | None]:
    """Return how a trained model of this workspace is evaluated on the held-out corpus.

    Its loss always, its answers where there is a pattern for them or a task.
    """
    settings, holdout = plan.settings, plan.corpora["holdout"].artifact
    artifact = load_artifact(plan.storage, "models", model)
    spec = trained_spec(artifact, settings.scoring.dtype, plan.on_gpu)
    scoring = scoring_step(holdout, HELD_OUT, spec, settings.scoring, settings.cluster)
    evaluation = settings.evaluation
    if evaluation.answer_pattern is None and not evaluation.tasks:
        return scoring, None
    return scoring, evaluation_step(holdout, spec, evaluation, settings.cluster)


def _check_arms(settings: CompareSettings) -> None:
    for arm in settings.arms:
        if arm != SELF_EVOLVING and arm not in METHODS:
            known = ", ".join([*METHODS, SELF_EVOLVING])
            raise SettingsError(f"arms: there is no arm {shortened(arm)}. There are: {known}.")
    for name, values in (("arms", settings.arms), ("seeds", settings.seeds)):
        if len(set(values)) < len(values):
            raise SettingsError(f"{name}: one is named twice in {shortened(list(values))}.")


def _max_length(settings: CompareSettings) -> int:
    paths = [path for path in (settings.base, settings.reference) if path]
    return max_length(settings.corpus.max_length, paths)


def _training(plan: ComparePlan, selection: SelectionStep, seed: int) -> TrainingStep:
    settings = plan.settings.training.model_copy(update={"seed": seed})
    return training_step(
        selection.artifact, selection.corpus, plan.base.model, settings, plan.settings.cluster
    )


def _num_models(settings: CompareSettings) -> int:
    per_seed = len(settings.arms) + settings.rounds.rounds * (SELF_EVOLVING in settings.arms)
    return per_seed * len(settings.seeds) + 1


def _run(
    settings: CompareSettings,
    corpora: dict[str, CorpusStep],
    base: ScoringStep,
    reference: ModelSpec | None,
) -> Run:
    """Return the run, named after what decides its result: the same command, the same run."""
    models = {"base": {"fingerprint": base.model.fingerprint}}
    if reference is not None:
        models["reference"] = {"fingerprint": reference.fingerprint}
    ids = {role: step.artifact.id for role, step in corpora.items()}
    decisive = _decisive(settings, corpora["drop"], base)
    name = content_id({"settings": decisive, "corpora": ids, "models": models})[:8]
    return Run(
        name=f"compare-{name}",
        flow="compare",
        settings=decisive,
        inputs=[file for step in corpora.values() for file in step.inputs],
        models=models,
        corpora=ids,
        num_rounds=0,
    )


def _decisive(settings: CompareSettings, drop: CorpusStep, base: ScoringStep) -> dict[str, Any]:
    """Return the settings that decide the result. Where and with how many is not among them."""
    plan = drop.artifact.plan
    chosen = {"template": plan["template"]["name"], "max_length": plan["max_length"]}
    chosen |= {key: base.artifact.plan[key] for key in ("dtype", "device", "batch_tokens")}
    chosen |= settings.rounds.model_dump(mode="json")
    return chosen | {
        "arms": list(settings.arms),
        "seeds": list(settings.seeds),
        "keep": settings.keep,
        "training": decisive_training(settings.training),  # its seed is that of the warm-up
        "precision": resolved_dtype(settings.training.precision, base.model.device == "gpu"),
        "evaluation": decisive_evaluation(settings.evaluation),
    }
