"""Plan TOSS-Pro: the run at once, each round when the one before it has ended.

TOSS (arXiv 2603.01185), with D the drop, H_0 the harmful data, theta_0 the base, T rounds, and as
reference the utility model that is given:

    round 0        h_0 = theta_0 trained on all tokens of H_0
    round t        score D with h_(t-1), select within D, H_t = H_(t-1) + the samples of D in
                   which the highest-scoring tokens stand, h_t = theta_0 trained on all of H_t
    round T + 1    score D with h_T, select within D

What is added does not depend on what is kept, so another share or scope trains nothing again. The
reference stands still: its scores of the drop are made once.
"""

from dataclasses import dataclass
from typing import Any

from tokensieve.artifact import Artifact, load_artifact
from tokensieve.documents import content_id
from tokensieve.errors import SettingsError
from tokensieve.growth import Growth, growth_of
from tokensieve.methods import Method, chosen_method
from tokensieve.models import ModelPlace, check_model_directory, load_tokenizer, resolved_dtype
from tokensieve.planning.declaring import declare_run
from tokensieve.planning.evidence import (
    EvidencePlan,
    check_compared,
    decisive_evidence,
    plan_evidence,
    scorer_of,
)
from tokensieve.planning.evolve import HELD_OUT
from tokensieve.planning.models import (
    ModelSpec,
    base_place,
    check_pair,
    max_length,
    model_spec,
    trained_spec,
)
from tokensieve.planning.policies import check_policies, decisive_policies, with_policies
from tokensieve.planning.room import training_bytes
from tokensieve.planning.steps import (
    CorpusStep,
    ScoringStep,
    SelectionStep,
    TrainingStep,
    corpus_step,
    corpus_steps,
    decisive_training,
    look_for_files,
    scoring_step,
    selection_step,
    training_step,
)
from tokensieve.runs import FinishedRound, Outcome, Round, Run
from tokensieve.scoring import device_batch_tokens
from tokensieve.settings import EvolveSettings, SelectionSettings
from tokensieve.storage import Storage, open_storage
from tokensieve.templates import load_template

HARMFUL = "harmful"
"""Role of the model that learns, and of the files that it learns from first."""


@dataclass(frozen=True)
class HardenPlan:
    """What all rounds of a run share."""

    settings: EvolveSettings
    on_gpu: bool
    corpora: dict[str, CorpusStep]
    """By role: `drop`, `harmful`, and `holdout` where files are given for it."""
    models: dict[str, ModelSpec]
    """`base` and `reference`."""
    run: Run

    @property
    def storage(self) -> Storage:
        """Return the workspace."""
        return self.drop.storage

    @property
    def drop(self) -> Artifact:
        """Return the corpus that is cleaned."""
        return self.corpora["drop"].artifact

    @property
    def kept_apart(self) -> dict[str, CorpusStep]:
        """Return the corpora that may not share samples. What the harmful model is trained on may
        be held out, too: nothing else is trained on it.
        """
        return {role: step for role, step in self.corpora.items() if role != HARMFUL}

    def declare(self) -> None:
        """Publish the plans of the run and of its corpora.

        Raises SettingsError if the workspace cannot be used, ResourceError if it has not the room.
        """
        self.storage.probe()
        num_left = self.run.num_rounds - 1 - len(self.run.finished_rounds(self.storage))
        model_bytes = training_bytes(self.models["base"].path, num_left, self.settings.training)
        declare_run(self.run, self.corpora.values(), model_bytes)


@dataclass(frozen=True)
class Retraining:
    """What the base is trained on to become the next harmful model."""

    growth: Growth | None
    """How its corpus is made. Unset: it is the harmful data as given."""
    selection: SelectionStep
    """All tokens."""
    training: TrainingStep


@dataclass(frozen=True)
class HardenRound:
    """One round: what it scores, selects and trains."""

    round: Round
    evidence: EvidencePlan
    """What the method looks at. Empty in round 0."""
    selection: SelectionStep
    retraining: Retraining | None
    """Unset in the last round, which trains nothing."""

    def declare(self, run: Run) -> None:
        """Publish the plans of the round and of its artifacts, so that status can speak of them."""
        made = [*self.evidence.artifacts.values(), self.selection.artifact]
        if self.retraining is not None:
            made += [self.retraining.selection.corpus, self.retraining.selection.artifact]
            made.append(self.retraining.training.artifact)
        for artifact in made:
            artifact.declare()
        run.begin_round(self.selection.artifact.storage, self.round)


def hardens(settings: EvolveSettings) -> bool:
    """Return whether what learns in the rounds is a harmful model; SettingsError if unknown."""
    return HARMFUL in chosen_method(settings.selection).roles


def plan_harden(settings: EvolveSettings, on_gpu: bool) -> HardenPlan:
    """Return what all rounds share; check everything that can be checked before the work.

    Nothing is written. Raises SettingsError and InputError.
    """
    method, reference = _checked(settings)
    base, dtype = base_place(settings), settings.scoring.dtype
    check_model_directory(base.path)
    check_policies(settings.policies, [method])
    check_pair(base, reference, settings.corpus.template)
    models = {
        "base": model_spec(base, dtype, on_gpu),
        "reference": model_spec(reference, dtype, on_gpu),
    }
    check_compared([method], models)
    corpora = _corpora(settings, max_length(settings.corpus.max_length, [base, reference]))
    return HardenPlan(settings, on_gpu, corpora, models, _run(settings, corpora, models))


def check_harden_given(settings: EvolveSettings) -> None:
    """Raise what `plan_harden` would raise, as far as a second of looking can tell."""
    method, reference = _checked(settings)
    base = base_place(settings)
    for place in (base, reference):
        check_model_directory(place.path)
    load_template(settings.corpus.template, load_tokenizer(base.path))
    check_policies(settings.policies, [method])
    max_length(settings.corpus.max_length, [base, reference])
    for files in (settings.files, settings.holdout, settings.harmful_data):
        look_for_files(settings, files)


def next_harden_round(plan: HardenPlan) -> HardenRound | None:
    """Return the first unfinished round, or None if the run is finished.

    The corpora are committed. A round that was begun is planned again in the same way, because all
    that it uses was decided by the rounds before it.
    """
    finished = plan.run.finished_rounds(plan.storage)
    number = len(finished)
    if number == plan.run.num_rounds:
        return None
    corpus = plan.drop if number else plan.corpora[HARMFUL].artifact
    settings = plan.settings.selection if number else SelectionSettings(method="full")
    models = plan.models | {HARMFUL: harmful_model(plan, finished)}
    evidence = plan_evidence([chosen_method(settings)], corpus, scorer_of(plan.settings, models))
    layer = plan.settings.scoring.attention_layer
    selection = selection_step(
        corpus, evidence.scores, settings, evidence.planted, plan.models["base"], layer
    )
    selection = with_policies(selection, plan.settings.policies, plan.models["base"].place)
    retraining = None
    if number < plan.run.num_rounds - 1:
        retraining = _retraining(plan, _growth(plan, finished, evidence) if number else None)
    return HardenRound(_round(number, selection, retraining), evidence, selection, retraining)


def harmful_model(plan: HardenPlan, finished: list[FinishedRound]) -> ModelSpec:
    """Return the harmful model after these rounds; the base before the first."""
    trained = [each.round.model for each in finished if each.round.model is not None]
    if not trained:
        return plan.models["base"]
    model = load_artifact(plan.storage, "models", trained[-1])
    return _trained(plan, model)


def harmful_held_out_steps(plan: HardenPlan, round: HardenRound) -> list[ScoringStep]:
    """Return how the former and the new harmful model are scored on the held-out corpus.

    Empty if nothing is held out, or nothing was trained. The new model is trained.
    """
    if "holdout" not in plan.corpora or round.retraining is None:
        return []
    settings, holdout = plan.settings, plan.corpora["holdout"].artifact
    former = harmful_model(plan, plan.run.finished_rounds(plan.storage)[: round.round.round])
    trained = _trained(plan, round.retraining.training.artifact)
    return [
        scoring_step(holdout, HELD_OUT, model, settings.scoring, settings.cluster)
        for model in (former, trained)
    ]


def harden_outcome(added: list[float] | None, losses: list[float]) -> Outcome:
    """Return that the new harmful model is used from now on, and what it has learned from.

    `added`: the highest score of each sample that was added, in nats; None: the harmful data alone.
    `losses`: held-out losses of the former and of the new model in nats per token, or nothing.
    """
    before, after = losses or (None, None)
    if added is None:
        reason = "trained on the harmful data"
    elif added:
        scores = f"their highest scores are {min(added):.3f} to {max(added):.3f} nats"
        reason = f"samples added: {len(added)}; {scores}"
    else:
        reason = "samples added: 0; the drop has no others"
    return Outcome(promoted=True, reason=reason, loss_before=before, loss_after=after)


def _trained(plan: HardenPlan, model: Artifact) -> ModelSpec:
    return trained_spec(model, plan.settings.s3, plan.settings.scoring.dtype, plan.on_gpu)


def _checked(settings: EvolveSettings) -> tuple[Method, ModelPlace]:
    """Return the method and the reference; SettingsError if they, or the data, do not fit."""
    method = chosen_method(settings.selection)
    missing = set(method.roles) - {"base", "reference", HARMFUL}
    if missing:
        raise SettingsError(
            f"selection.method: {method.name} needs {min(missing)} scores, which rounds do not "
            "have. Clean with it, or compare it."
        )
    if settings.reference is None:
        raise SettingsError(f"--reference: the method {method.name} needs this model")
    if not settings.harmful_data:
        raise SettingsError(
            f"--harmful-data: rounds of the method {method.name} begin with harmful samples. Give "
            "files of them, or clean with a harmful model of your own."
        )
    if settings.warmup:
        raise SettingsError(
            f"--warmup: rounds of the method {method.name} have none. Give these files as harmful "
            "data, or leave them out."
        )
    return method, ModelPlace(settings.reference, settings.s3)


def _corpora(settings: EvolveSettings, length: int) -> dict[str, CorpusStep]:
    storage, files = open_storage(settings.workspace, settings.s3), settings.harmful_data
    base, cluster = base_place(settings), settings.cluster
    harmful = corpus_step(storage, files, base, settings.corpus, length, cluster)
    return corpus_steps(settings, length) | {HARMFUL: harmful}


def _growth(plan: HardenPlan, finished: list[FinishedRound], evidence: EvidencePlan) -> Growth:
    """Return how the corpus of the round before grows."""
    last = finished[-1].round
    former = load_artifact(plan.storage, "corpora", last.trained_corpus or last.corpus)
    return growth_of(former, plan.drop, evidence.scores, plan.settings.harmful_added)


def _retraining(plan: HardenPlan, growth: Growth | None) -> Retraining:
    settings, base = plan.settings, plan.models["base"]
    corpus = growth.artifact if growth is not None else plan.corpora[HARMFUL].artifact
    selection = selection_step(corpus, {}, SelectionSettings(method="full"))
    training = training_step(selection.artifact, corpus, base, settings.training, settings.cluster)
    return Retraining(growth, selection, training)


def _round(number: int, selection: SelectionStep, retraining: Retraining | None) -> Round:
    grown = retraining if retraining is not None and retraining.growth is not None else None
    return Round(
        round=number,
        corpus=selection.corpus.id,
        scores={role: artifact.id for role, artifact in selection.scores.items()},
        selection=selection.artifact.id,
        trained_corpus=grown.selection.corpus.id if grown else None,
        trained_selection=grown.selection.artifact.id if grown else None,
        model=retraining.training.artifact.id if retraining else None,
    )


def _run(
    settings: EvolveSettings, corpora: dict[str, CorpusStep], models: dict[str, ModelSpec]
) -> Run:
    """Return the run, named after what decides its result: the same command, the same run."""
    ids = {role: step.artifact.id for role, step in corpora.items()}
    given = {role: {"fingerprint": model.fingerprint} for role, model in models.items()}
    decisive = _decisive(settings, corpora["drop"], models["base"])
    name = content_id({"settings": decisive, "corpora": ids, "models": given})[:8]
    return Run(
        name=f"harden-{name}",
        flow="harden",
        settings=decisive,
        inputs=[file for step in corpora.values() for file in step.inputs],
        models=given,
        corpora=ids,
        num_rounds=settings.rounds.rounds + 2,
    )


def _decisive(settings: EvolveSettings, drop: CorpusStep, base: ModelSpec) -> dict[str, Any]:
    """Return the settings that decide the result. Where and with how many is not among them."""
    plan, on_gpu = drop.artifact.plan, base.device == "gpu"
    return {
        "template": plan["template"]["name"],
        "max_length": plan["max_length"],
        "dtype": base.dtype,
        "device": base.device,
        "batch_tokens": device_batch_tokens(settings.scoring.batch_tokens, on_gpu),
        **decisive_evidence(settings, [chosen_method(settings.selection)]),
        **settings.selection.model_dump(mode="json"),
        **decisive_policies(settings.policies),
        "rounds": settings.rounds.rounds,
        "harmful_added": settings.harmful_added,
        "training": decisive_training(settings.training),
        "precision": resolved_dtype(settings.training.precision, on_gpu),
    }
