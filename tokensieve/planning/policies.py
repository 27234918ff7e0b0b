"""Policies in plans: what is set is checked before the work, and is part of a selection's name."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from tokensieve.artifact import Artifact
from tokensieve.errors import SettingsError
from tokensieve.methods import Method
from tokensieve.methods.full import FULL
from tokensieve.models import ModelPlace
from tokensieve.patterns import check_speed
from tokensieve.planning.steps import Overriding, SelectionStep
from tokensieve.settings import PolicySettings


def check_policies(settings: PolicySettings, methods: Iterable[Method]) -> None:
    """Return if these policies can override these methods.

    Raises SettingsError for a policy that means nothing to a method, or a pattern that would take
    too long.
    """
    counting = settings.model_dump(include={"min_kept_tokens", "smooth_spans"}, exclude_none=True)
    for method in methods:
        if counting and method.direction == "weight":
            raise SettingsError(
                f"policies.{min(counting)}: the method {method.name} weighs every token and drops "
                "none, so there is none to add and no span to smooth. Leave it out: protected "
                "tokens weigh at least 1 there."
            )
    if settings.protect_pattern is not None:
        check_speed(settings.protect_pattern, "policies.protect_pattern")


def decisive_policies(settings: PolicySettings) -> dict[str, Any]:
    """Return what of the settings decides the result, as it stands in plans and runs."""
    return {"policies": settings.decisive} if settings.decisive else {}


def with_policies(step: SelectionStep, settings: PolicySettings, base: ModelPlace) -> SelectionStep:
    """Return the step as these policies override its method; `base`: with the corpus's tokenizer.

    Where none is set, or the method keeps every token, it is the step as it was.
    """
    decisive = decisive_policies(settings)
    if not decisive or step.settings.method == FULL.name:
        return step
    plan = {**step.artifact.plan, **decisive}
    artifact = Artifact(step.artifact.storage, step.artifact.kind, plan)
    return replace(step, artifact=artifact, overriding=Overriding(settings, base))
