"""Plan a comparison: every arm selects, trains from the same base and is evaluated alike."""

from dataclasses import dataclass
from typing import Any

from tokensieve.artifact import Artifact, load_artifact
from tokensieve.documents import content_id
from tokensieve.errors import SettingsError, shortened
from tokensieve.evaluation import check_pattern, check_tasks
from tokensieve.methods import METHODS, Method, chosen_method, find_method
from tokensieve.models import load_tokenizer, resolved_dtype
from tokensieve.parts import Part, part_of
from tokensieve.planning.declaring import declare_run
from tokensieve.planning.evidence import (
    EvidencePlan,
    columns_of,
    decisive_evidence,
    given_max_length,
    given_models,
    given_places,
    models_of,
    plan_evidence,
    scorer_of,
    unused_lines,
)
from tokensieve.planning.evolve import HELD_OUT
from tokensieve.planning.models import ModelSpec, base_place, model_spec, trained_spec
from tokensieve.planning.policies import check_policies, decisive_policies, with_policies
from tokensieve.planning.room import num_committed, training_bytes
from tokensieve.planning.steps import (
    SCORE_COLUMNS,
    CorpusStep,
    EvaluationStep,
    ScoringStep,
    SelectionStep,
    TrainingStep,
    corpus_steps,
    decisive_evaluation,
    decisive_training,
    evaluation_step,
    look_for_files,
    scoring_step,
    selection_step,
    training_step,
)
from tokensieve.runs import Run
from tokensieve.settings import (
    ArmsSettings,
    CompareSettings,
    EvolveSettings,
    SelectionSettings,
    checked,
)
from tokensieve.storage import Storage
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
    models: dict[str, ModelSpec]
    """Those that are given, by name. No reference among them: it is the base after the warm-up."""
    run: Run

    @property
    def storage(self) -> Storage:
        """Return the workspace."""
        return self.base.artifact.storage

    @property
    def drop(self) -> Artifact:
        """Return the corpus that every arm trains on."""
        return self.corpora["drop"].artifact

    @property
    def selections(self) -> dict[str, SelectionSettings]:
        """Return how each arm selects that does so with models that stand still."""
        return arm_selections(self.settings)

    @property
    def methods(self) -> list[Method]:
        """Return the methods of these arms."""
        return arm_methods(self.settings)

    @property
    def needs_reference(self) -> bool:
        """Return whether one of these arms looks at a reference."""
        return "reference" in models_of(self.methods)

    @property
    def unused(self) -> list[str]:
        """Return a line for each model or file that is given and not looked at."""
        return unused_lines(self.settings, self.methods)

    def declare(self) -> None:
        """Publish the plans of the run and of its corpora.

        Raises SettingsError if the workspace cannot be used, ResourceError if it has not the room.
        """
        self.storage.probe()
        num_left = _num_models(self.settings) - num_committed(self.storage, "models")
        model_bytes = training_bytes(self.base.model.path, num_left, self.settings.training)
        declare_run(self.run, self.corpora.values(), model_bytes)


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
    methods = _checked_arms(settings)
    check_pattern(settings.evaluation)
    check_tasks(settings.evaluation)
    check_policies(settings.policies, methods)
    base = model_spec(base_place(settings), settings.scoring.dtype, on_gpu)
    models = given_models(settings, methods, on_gpu) | {"base": base}
    corpora = corpus_steps(settings, given_max_length(settings, methods))
    drop = corpora["drop"].artifact
    columns = columns_of(methods).get("base", SCORE_COLUMNS)
    scoring = scoring_step(drop, "base", base, settings.scoring, settings.cluster, columns)
    run = _run(settings, corpora, scoring, models)
    return ComparePlan(settings, on_gpu, corpora, scoring, models, run)


def check_compare_given(settings: CompareSettings) -> None:
    """Raise what `plan_compare` would raise, as far as a second of looking can tell."""
    methods = _checked_arms(settings)
    given_places(settings, methods)
    check_pattern(settings.evaluation)
    check_policies(settings.policies, methods)
    load_template(settings.corpus.template, load_tokenizer(base_place(settings).path))
    given_max_length(settings, methods)
    for files in (settings.files, settings.warmup, settings.holdout):
        look_for_files(settings, files)


def plan_warmup(plan: ComparePlan) -> WarmupPlan | None:
    """Return how the reference is made; None if it was given, or no arm needs one.

    It is the warm-up of self-evolving cleaning, trained once with the seed of the training
    settings, so that other seeds of arms change nothing. The corpora are committed.
    """
    if "reference" in plan.models or not plan.needs_reference:
        return None
    part, corpus = None, plan.corpora.get("warmup", plan.corpora["drop"]).artifact
    if "warmup" not in plan.corpora:
        num_parts = plan.settings.rounds.rounds + 1
        part = part_of(corpus, corpus.required_commit(), 0, num_parts)
        corpus = part.artifact
    selection = selection_step(corpus, {}, SelectionSettings(method="full"))
    return WarmupPlan(part, selection, _training(plan, selection, plan.settings.training.seed))


def plan_arm_evidence(plan: ComparePlan, warmup: WarmupPlan | None) -> EvidencePlan:
    """Return what is made for the arms to look at; the warm-up is trained."""
    models = dict(plan.models)
    if warmup is not None:
        models["reference"] = _trained(plan, warmup.training.artifact)
    return plan_evidence(plan.methods, plan.drop, scorer_of(plan.settings, models))


def base_on_holdout(plan: ComparePlan) -> ScoringStep:
    """Return how the untrained base is scored on the held-out corpus."""
    holdout, settings = plan.corpora["holdout"].artifact, plan.settings
    return scoring_step(holdout, HELD_OUT, plan.base.model, settings.scoring, settings.cluster)


def plan_arms(plan: ComparePlan, evidence: EvidencePlan) -> list[ArmPlan]:
    """Return the arms that select with models that stand still, each with every seed."""
    arms = []
    for arm, chosen in plan.selections.items():
        for seed in plan.settings.seeds:
            seeded = chosen.model_copy(update={"seed": seed})
            selection = selection_step(
                plan.drop,
                evidence.scores,
                seeded,
                evidence.planted,
                plan.base.model,
                plan.settings.scoring.attention_layer,
            )
            selection = with_policies(selection, plan.settings.policies, plan.base.model.place)
            arms.append(ArmPlan(arm, seed, selection, _training(plan, selection, seed)))
    return arms


def arm_selections(settings: ArmsSettings) -> dict[str, SelectionSettings]:
    """Return how each arm but the self-evolving one selects: `method` or `method@share`.

    Raises SettingsError if there is no such arm, or it is asked for a share that it cannot keep.
    """
    return {arm: _arm_selection(settings, arm) for arm in settings.arms if arm != SELF_EVOLVING}


def arm_methods(settings: ArmsSettings) -> list[Method]:
    """Return the methods of these arms; raises SettingsError like `arm_selections`."""
    return [chosen_method(each) for each in arm_selections(settings).values()]


def _arm_selection(settings: ArmsSettings, arm: str) -> SelectionSettings:
    name, at, share = arm.partition("@")
    if name not in METHODS:
        known = ", ".join([*METHODS, SELF_EVOLVING])
        raise SettingsError(f"arms: there is no arm {shortened(arm)}. There are: {known}.")
    values: dict[str, Any] = {"method": name, "parameters": settings.parameters.get(name, {})}
    try:
        if at:
            values["keep"] = share
        elif find_method(name, values["parameters"]).keeps_share:
            values["keep"] = settings.keep
        chosen = checked(SelectionSettings, values)
        chosen_method(chosen)
    except SettingsError as error:
        raise SettingsError(f"arms: {shortened(arm)}: {error}") from None
    return chosen


def evolve_settings(plan: ComparePlan, seed: int) -> EvolveSettings:
    """Return the settings of the self-evolving arm: without a gate, which would see the holdout."""
    settings, max_length = plan.settings, given_max_length(plan.settings, plan.methods)
    return EvolveSettings(
        files=settings.files,
        base=settings.base,
        workspace=settings.workspace,
        s3=settings.s3,
        cluster=settings.cluster,
        corpus=settings.corpus.model_copy(update={"max_length": max_length}),
        scoring=settings.scoring,
        warmup=settings.warmup,
        selection=SelectionSettings(keep=settings.keep, seed=seed),
        policies=settings.policies,
        rounds=settings.rounds,
        training=settings.training.model_copy(update={"seed": seed}),
    )


def plan_evaluation(plan: ComparePlan, model: str) -> tuple[ScoringStep, EvaluationStep | None]:
    """Return how a trained model of this workspace is evaluated on the held-out corpus.

    Its loss always, its answers where there is a pattern for them or a task.
    """
    settings, holdout = plan.settings, plan.corpora["holdout"].artifact
    spec = _trained(plan, load_artifact(plan.storage, "models", model))
    scoring = scoring_step(holdout, HELD_OUT, spec, settings.scoring, settings.cluster)
    evaluation = settings.evaluation
    if evaluation.answer_pattern is None and not evaluation.tasks:
        return scoring, None
    return scoring, evaluation_step(holdout, spec, evaluation, settings.cluster)


def _checked_arms(settings: CompareSettings) -> list[Method]:
    """Return the methods of the arms; SettingsError if arms, parameters and seeds do not fit."""
    methods = arm_methods(settings)
    unused = settings.parameters.keys() - {method.name for method in methods}
    if unused:
        raise SettingsError(f"parameters: {shortened(min(unused))} is no method of the arms.")
    for name, values in (("arms", settings.arms), ("seeds", settings.seeds)):
        if len(set(values)) < len(values):
            raise SettingsError(f"{name}: one is named twice in {shortened(list(values))}.")
    return methods


def _training(plan: ComparePlan, selection: SelectionStep, seed: int) -> TrainingStep:
    settings = plan.settings.training.model_copy(update={"seed": seed})
    return training_step(
        selection.artifact, selection.corpus, plan.base.model, settings, plan.settings.cluster
    )


def _trained(plan: ComparePlan, model: Artifact) -> ModelSpec:
    return trained_spec(model, plan.settings.s3, plan.settings.scoring.dtype, plan.on_gpu)


def _num_models(settings: CompareSettings) -> int:
    per_seed = len(settings.arms) + settings.rounds.rounds * (SELF_EVOLVING in settings.arms)
    return per_seed * len(settings.seeds) + 1


def _run(
    settings: CompareSettings,
    corpora: dict[str, CorpusStep],
    base: ScoringStep,
    given: dict[str, ModelSpec],
) -> Run:
    """Return the run, named after what decides its result: the same command, the same run."""
    models = {name: {"fingerprint": model.fingerprint} for name, model in given.items()}
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
    chosen |= decisive_evidence(settings, arm_methods(settings))
    chosen |= settings.rounds.model_dump(mode="json") | decisive_policies(settings.policies)
    return chosen | {
        "arms": list(settings.arms),
        "seeds": list(settings.seeds),
        "parameters": settings.parameters,
        "keep": settings.keep,
        "training": decisive_training(settings.training),  # its seed is that of the warm-up
        "precision": resolved_dtype(settings.training.precision, base.model.device == "gpu"),
        "evaluation": decisive_evaluation(settings.evaluation),
    }
