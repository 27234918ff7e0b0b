"""Plan self-evolving cleaning: the run at once, each round when the one before it has ended.

Token Cleaning (Pang et al., ICML 2025, arXiv 2502.01968), with theta_0 the base and P parts D:

    round 0      warm-up: theta_1 = theta_0 trained on all tokens of D_0
    round t      score D_t with theta_0 and theta_t, select within D_t,
                 theta_(t+1) = theta_t trained on what was kept

Or every round scores and selects in the whole corpus again. The base never moves, so its scores of
the corpus are made once.
"""

from dataclasses import dataclass, replace
from typing import Any

from tokensieve.artifact import Artifact, load_artifact
from tokensieve.documents import content_id
from tokensieve.errors import SettingsError
from tokensieve.methods import Method, chosen_method
from tokensieve.methods.method import CURRENT
from tokensieve.models import check_model_directory, load_tokenizer, resolved_dtype
from tokensieve.parts import Part, num_left_out, part_of, sliced_scores
from tokensieve.planning.declaring import declare_run
from tokensieve.planning.evidence import (
    EvidencePlan,
    columns_of,
    decisive_evidence,
    plan_evidence,
    scorer_of,
)
from tokensieve.planning.models import (
    ModelSpec,
    base_place,
    max_length,
    model_spec,
    trained_spec,
)
from tokensieve.planning.policies import check_policies, decisive_policies, with_policies
from tokensieve.planning.room import training_bytes
from tokensieve.planning.steps import (
    SCORE_COLUMNS,
    CorpusStep,
    ScoringStep,
    SelectionStep,
    TrainingStep,
    corpus_steps,
    decisive_training,
    look_for_files,
    scoring_step,
    selection_step,
    training_step,
)
from tokensieve.runs import FinishedRound, Outcome, Round, Run
from tokensieve.scoring import COLUMNS
from tokensieve.settings import EvolveSettings, SelectionSettings
from tokensieve.storage import Storage
from tokensieve.templates import load_template

HELD_OUT = "held-out"
"""Role of a model whose loss on the held-out corpus is measured."""


@dataclass(frozen=True)
class EvolvePlan:
    """What all rounds of a run share."""

    settings: EvolveSettings
    on_gpu: bool
    corpora: dict[str, CorpusStep]
    """By role: `drop`, and `warmup` and `holdout` where files are given for them."""
    base: ScoringStep
    """The base over the whole corpus."""
    run: Run

    @property
    def storage(self) -> Storage:
        """Return the workspace."""
        return self.base.artifact.storage

    @property
    def num_parts(self) -> int:
        """Return how many parts the corpus has: one for each round that trains on one."""
        return self.settings.rounds.rounds + (0 if "warmup" in self.corpora else 1)

    def num_left_out(self) -> int:
        """Return how many samples of the committed corpus are in no part."""
        return num_left_out(self.corpora["drop"].artifact.required_commit(), self.num_parts)

    def declare(self) -> None:
        """Publish the plans of the run and of what its rounds share.

        Raises SettingsError if the workspace cannot be used, ResourceError if it has not the room.
        """
        self.storage.probe()
        num_left = self.run.num_rounds - len(self.run.finished_rounds(self.storage))
        model_bytes = training_bytes(self.base.model.path, num_left, self.settings.training)
        declare_run(self.run, self.corpora.values(), model_bytes, [self.base.artifact])


@dataclass(frozen=True)
class RoundPlan:
    """One round: what it scores, selects and trains."""

    round: Round
    part: Part | None
    """The part of the corpus that it works on. Unset: all of it, or the files of the warm-up."""
    base_scores: Artifact | None
    """The base's scores of its corpus. Unset: the method needs none."""
    evidence: EvidencePlan
    """What else the method looks at, of the current reference."""
    selection: SelectionStep
    training: TrainingStep

    def declare(self, run: Run) -> None:
        """Publish the plans of the round and of its artifacts, so that status can speak of them."""
        slices = [self.base_scores] if self.base_scores else []
        evidence = self.evidence.artifacts.values()
        made = [self.selection.corpus, *slices, *evidence, self.selection.artifact]
        for artifact in (*made, self.training.artifact):
            artifact.declare()
        run.begin_round(self.training.artifact.storage, self.round)


def plan_evolve(
    settings: EvolveSettings, on_gpu: bool, base_columns: tuple[str, ...] = ()
) -> EvolvePlan:
    """Return what all rounds share; check everything that can be checked before the work.

    `base_columns`: what others need of the base beside the method, so that one pass serves all.
    Nothing is written. Raises SettingsError and InputError.
    """
    method, place = _checked_method(settings), base_place(settings)
    check_policies(settings.policies, [method])
    base = model_spec(place, settings.scoring.dtype, on_gpu)
    corpora = corpus_steps(settings, max_length(settings.corpus.max_length, [place]))
    wanted = {*columns_of([method]).get("base", SCORE_COLUMNS), *base_columns}
    drop, columns = corpora["drop"].artifact, tuple(name for name in COLUMNS if name in wanted)
    scoring = scoring_step(drop, "base", base, settings.scoring, settings.cluster, columns)
    run = _run(settings, corpora, scoring)
    return EvolvePlan(settings, on_gpu, corpora, scoring, run)


def check_evolve_given(settings: EvolveSettings) -> None:
    """Raise what `plan_evolve` would raise, as far as a second of looking can tell."""
    method, base = _checked_method(settings), base_place(settings)
    check_model_directory(base.path)
    load_template(settings.corpus.template, load_tokenizer(base.path))
    check_policies(settings.policies, [method])
    max_length(settings.corpus.max_length, [base])
    for files in (settings.files, settings.warmup, settings.holdout):
        look_for_files(settings, files)


def next_round(plan: EvolvePlan) -> RoundPlan | None:
    """Return the first unfinished round, or None if the run is finished.

    The corpora are committed. A round that was begun is planned again in the same way, because its
    reference was decided by the rounds before it.
    """
    if plan.run.is_finished(plan.storage):
        return None
    finished = plan.run.finished_rounds(plan.storage)
    number = len(finished)
    part, corpus = _place(plan, number)
    reference = current_reference(plan, finished)
    settings = plan.settings.selection if number else SelectionSettings(method="full")
    method = chosen_method(settings)
    base = _base_scores(plan, part) if "base" in method.roles else None
    evidence = _evidence(plan, method, corpus, reference)
    made = evidence.scores | ({"base": base} if base is not None else {})
    layer = plan.settings.scoring.attention_layer
    selection = selection_step(corpus, made, settings, evidence.planted, plan.base.model, layer)
    selection = with_policies(selection, plan.settings.policies, plan.base.model.place)
    training = _training(plan, selection, reference)
    round = Round(
        round=number,
        corpus=corpus.id,
        scores={role: artifact.id for role, artifact in selection.scores.items()},
        selection=selection.artifact.id,
        model=training.artifact.id,
    )
    return RoundPlan(round, part, base, evidence, selection, training)


def current_reference(plan: EvolvePlan, finished: list[FinishedRound]) -> ModelSpec:
    """Return the model of the last promoted round; the base before the first."""
    for each in reversed(finished):
        if each.outcome is not None and each.outcome.promoted:
            assert each.round.model is not None, "a round of an evolving reference trains"
            model = load_artifact(plan.storage, "models", each.round.model)
            return _trained(plan, model)
    return plan.base.model


def held_out_steps(plan: EvolvePlan, round: RoundPlan) -> list[ScoringStep]:
    """Return how the former reference and the new model are scored on the held-out corpus.

    Empty if nothing is held out. The new model is trained.
    """
    if "holdout" not in plan.corpora:
        return []
    trained = _trained(plan, round.training.artifact)
    former = current_reference(plan, plan.run.finished_rounds(plan.storage)[: round.round.round])
    holdout, settings = plan.corpora["holdout"].artifact, plan.settings
    return [
        scoring_step(holdout, HELD_OUT, model, settings.scoring, settings.cluster)
        for model in (former, trained)
    ]


def outcome_of(plan: EvolvePlan, round: int, losses: list[float]) -> Outcome:
    """Return whether the new model becomes the reference.

    `losses`: held-out losses of the former reference and of the new model in nats per token, or
    nothing. The warm-up is the first reference, whatever its loss.
    """
    before, after = losses or (None, None)
    limit = plan.settings.rounds.tolerance
    if round == 0:
        promoted, reason = True, "the first reference"
    elif before is None or after is None:
        promoted, reason = True, "nothing is held out"
    elif after <= before + limit:
        promoted, reason = True, f"held-out loss {after - before:+.4f} nats"
    else:
        promoted = False
        reason = f"held-out loss {after - before:+.4f} nats is worse by more than {limit:g}"
    return Outcome(promoted=promoted, reason=reason, loss_before=before, loss_after=after)


def reason_to_stop(plan: EvolvePlan) -> str:
    """Return why no further round should be done; empty if there is no reason.

    A round that selects from the whole corpus after a rejected one would be that one again.

    A gain is a held-out loss below every one before it, the base's included. The warm-up need not
    bring one.
    """
    finished = plan.run.finished_rounds(plan.storage)
    last = finished[-1].outcome if finished else None
    if last and not last.promoted and plan.settings.rounds.select_from == "corpus":
        return "the reference stayed as it was, so the next round would be the same again"
    patience = plan.settings.rounds.patience
    outcomes = [each.outcome for each in plan.run.finished_rounds(plan.storage)]
    found = [each.loss_before for each in outcomes[:1] if each]  # the base's
    found += [each.loss_after for each in outcomes if each]
    losses = [loss for loss in found if loss is not None]
    if patience is None or len(losses) - 1 <= patience:
        return ""
    best_before = min(losses[:-patience])
    if min(losses[-patience:]) < best_before:
        return ""
    return f"no gain in held-out loss in {patience} rounds (best: {best_before:.4f} nats)"


def _trained(plan: EvolvePlan, model: Artifact) -> ModelSpec:
    return trained_spec(model, plan.settings.s3, plan.settings.scoring.dtype, plan.on_gpu)


def _place(plan: EvolvePlan, number: int) -> tuple[Part | None, Artifact]:
    """Return the part that a round works on, if it is one, and the corpus."""
    if number == 0 and "warmup" in plan.corpora:
        return None, plan.corpora["warmup"].artifact
    drop = plan.corpora["drop"].artifact
    if number > 0 and plan.settings.rounds.select_from == "corpus":
        return None, drop
    index = number - 1 if "warmup" in plan.corpora else number
    part = part_of(drop, drop.required_commit(), index, plan.num_parts)
    return part, part.artifact


def _base_scores(plan: EvolvePlan, part: Part | None) -> Artifact:
    return sliced_scores(plan.base.artifact, part) if part else plan.base.artifact


def _evidence(
    plan: EvolvePlan, method: Method, corpus: Artifact, reference: ModelSpec
) -> EvidencePlan:
    """Return what the method looks at of a round's corpus; the base's scores of it are there."""
    models = {"base": plan.base.model, "reference": reference}
    evidence = plan_evidence([method], corpus, scorer_of(plan.settings, models))
    of_base = [s for s in evidence.scorings if s.role == "base" and s.corpus.id == corpus.id]
    return replace(evidence, scorings=tuple(s for s in evidence.scorings if s not in of_base))


def _checked_method(settings: EvolveSettings) -> Method:
    """Return the method; SettingsError if it needs what evolving does not have."""
    method = chosen_method(settings.selection)
    missing = set(method.roles) - {"base", "reference"}
    if missing:
        raise SettingsError(
            f"selection.method: {method.name} needs {min(missing)} scores, which rounds do not "
            "have. Clean with it, or compare it."
        )
    if any(set(pair) == {CURRENT, "reference"} for pair in method.compared_roles):
        raise SettingsError(
            f"selection.method: {method.name} compares the model in training with the reference, "
            "and a round begins to train at its reference: they are one model. Compare it with "
            "other methods, or clean and train with it, beside a reference that stands still."
        )
    if settings.reference or settings.harmful_data:
        raise SettingsError(
            f"--reference, --harmful-data: rounds of the method {method.name} make their own "
            "reference, and have no harmful model. Leave both out."
        )
    return method


def _training(plan: EvolvePlan, selection: SelectionStep, init: ModelSpec) -> TrainingStep:
    settings = plan.settings
    return training_step(
        selection.artifact, selection.corpus, init, settings.training, settings.cluster
    )


def _run(settings: EvolveSettings, corpora: dict[str, CorpusStep], base: ScoringStep) -> Run:
    """Return the run, named after what decides its result: the same command, the same run."""
    ids = {role: step.artifact.id for role, step in corpora.items()}
    decisive = _decisive(settings, corpora["drop"], base)
    fingerprint = base.model.fingerprint
    name = content_id({"settings": decisive, "corpora": ids, "base": fingerprint})[:8]
    return Run(
        name=f"evolve-{name}",
        flow="evolve",
        settings=decisive,
        inputs=[file for step in corpora.values() for file in step.inputs],
        models={"base": {"fingerprint": fingerprint}},
        corpora=ids,
        num_rounds=settings.rounds.rounds + 1,
    )


def _decisive(settings: EvolveSettings, drop: CorpusStep, base: ScoringStep) -> dict[str, Any]:
    """Return the settings that decide the result. Where and with how many is not among them."""
    plan = drop.artifact.plan
    chosen = {"template": plan["template"]["name"], "max_length": plan["max_length"]}
    keys = ("dtype", "device", "batch_tokens", "columns", "attention_layer")
    chosen |= {key: base.artifact.plan[key] for key in keys if key in base.artifact.plan}
    chosen |= decisive_evidence(settings, [chosen_method(settings.selection)])
    chosen |= settings.selection.model_dump(mode="json") | decisive_policies(settings.policies)
    chosen |= settings.rounds.model_dump(mode="json")
    precision = resolved_dtype(settings.training.precision, base.model.device == "gpu")
    return chosen | {"training": decisive_training(settings.training), "precision": precision}
