"""Thresholds of one selection for the corpus of another: what scores as well is kept, however much.

They are numbers of the method and of its models, so both have to be the same.
"""

from dataclasses import replace

from tokensieve.artifact import Artifact, load_artifact
from tokensieve.errors import SettingsError, shortened
from tokensieve.methods import Method, chosen_method
from tokensieve.planning.steps import SelectionStep
from tokensieve.thresholds import Threshold

_CHOICE = ("method", "parameters", "keep", "scope", "seed", "attention_layer")
_OF_SCORES = ("model", "attention_layer")


def with_frozen_thresholds(step: SelectionStep, frozen: Artifact) -> SelectionStep:
    """Return the step as it takes its thresholds from a finished selection.

    Raises SettingsError if the method has none, or if they would mean something else here.
    """
    _check_has_thresholds(step)
    _check_same_choice(step.artifact, frozen)
    _check_same_models(step, frozen)
    plan = {**step.artifact.plan, "thresholds_of": frozen.id}
    artifact = Artifact(step.artifact.storage, "selections", plan)
    return replace(step, artifact=artifact, frozen=frozen)


def frozen_thresholds(frozen: Artifact, selection: Artifact) -> dict[str, Threshold]:
    """Return the thresholds of a finished selection as they hold in another one, by group.

    Which of several tokens with the same score came first says nothing here: those that score the
    same as the last one kept there are all kept.
    """
    noted = frozen.required_commit().notes["thresholds"]
    after_all = {"shard": selection.num_shards, "num_ties": 0}
    return {name: Threshold(**{**noted[name], **after_all}) for name in sorted(noted)}


def _check_has_thresholds(step: SelectionStep) -> None:
    method = chosen_method(step.settings)
    why = _why_none(method)
    if not why and not method.rule(step.settings).has_thresholds:
        why = "chooses within each sample, or by a test"
    if why:
        raise SettingsError(
            f"thresholds: the method {method.name} {why}, so there is none to freeze. Write "
            "`refit`, or choose another method."
        )


def _why_none(method: Method) -> str:
    if method.each_step:
        return "chooses at every step of a training"
    if method.fit is not None:
        return "fits itself to each corpus"
    return "unlearns what it does not keep" if method.unlearns else ""


def _check_same_choice(selection: Artifact, frozen: Artifact) -> None:
    for key in _CHOICE:
        ours, theirs = selection.plan.get(key), frozen.plan.get(key)
        if ours != theirs:
            raise SettingsError(
                f"thresholds: selection {frozen.id} was made with {key} {shortened(theirs)}, and "
                f"this one with {shortened(ours)}. Give the same, or write `refit`."
            )


def _check_same_models(step: SelectionStep, frozen: Artifact) -> None:
    for role, scores in step.scores.items():
        theirs = load_artifact(frozen.storage, "scores", frozen.plan["scores"][role])
        if any(scores.plan.get(key) != theirs.plan.get(key) for key in _OF_SCORES):
            raise SettingsError(
                f"thresholds: selection {frozen.id} was made with another {role}: its thresholds "
                "say nothing of this one's losses. Give the same model, or write `refit`."
            )
