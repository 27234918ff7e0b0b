"""What users are told of each method."""

import json
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tokensieve.methods import METHODS, Method, find_method
from tokensieve.methods.method import AT_EACH_STEP
from tokensieve.settings import SelectionSettings

_WIDTH = 100


@dataclass(frozen=True)
class ParameterFacts:
    """One parameter of a method."""

    name: str
    default: Any
    description: str


@dataclass(frozen=True)
class MethodFacts:
    """What a method is, and how it chooses unless told otherwise."""

    name: str
    acts: str
    """When: once, or at each step of a training."""
    needs: Mapping[str, tuple[str, ...]]
    """The columns of scores by role."""
    direction: str
    scope: str | None
    """Unset, like `keep` and `rounding`, where no share is kept."""
    keep: float | None
    rounding: str | None
    parameters: tuple[ParameterFacts, ...]
    summary: str
    source: str


def method_facts() -> list[MethodFacts]:
    """Return the facts of every method, with its default parameters."""
    return [_facts(method) for method in METHODS.values()]


def describe_methods() -> str:
    """Return, of every method, what it does, when it acts, whom it asks and how it chooses."""
    entries = [_entry(each) for each in method_facts()]
    return "\n\n".join(
        [*entries, "`tokensieve methods NAME` tells all of one, and its parameters."]
    )


def describe_method(name: str) -> str:
    """Return all there is to say of one method; raise SettingsError if there is none."""
    facts = _facts(find_method(name))
    lines = [f"{facts.name}: {facts.summary}", f"source: {facts.source}", f"acts: {facts.acts}"]
    lines += [f"needs of {role}: {', '.join(names)}" for role, names in facts.needs.items()]
    lines.append(f"chooses: {_choice(facts)}")
    lines += [_parameter_line(parameter) for parameter in facts.parameters]
    return "\n".join(_wrapped(line) for line in lines)


def _facts(method: Method) -> MethodFacts:
    rule = method.rule(SelectionSettings(method=method.name))
    return MethodFacts(
        name=method.name,
        acts=method.acts,
        needs=method.columns,
        direction=method.direction,
        scope=rule.scope if rule.counts else None,
        keep=rule.keep if rule.counts else None,
        rounding=rule.rounding if rule.counts else None,
        parameters=_parameters(method),
        summary=method.summary,
        source=method.source,
    )


def _parameters(method: Method) -> tuple[ParameterFacts, ...]:
    """Return the parameters as their fields document them."""
    fields = type(method.parameters).model_fields
    return tuple(
        ParameterFacts(
            name, getattr(method.parameters, name), " ".join((field.description or "").split())
        )
        for name, field in fields.items()
    )


def _entry(facts: MethodFacts) -> str:
    asks = ", ".join(facts.needs) or "nothing"
    about = f"{facts.summary}. Acts {facts.acts}; asks {asks}; {_choice(facts)}."
    return f"{facts.name}\n" + textwrap.fill(
        about, _WIDTH, initial_indent="  ", subsequent_indent="  "
    )


def _parameter_line(parameter: ParameterFacts) -> str:
    return f"parameter {parameter.name}={json.dumps(parameter.default)}: {parameter.description}"


def _choice(facts: MethodFacts) -> str:
    """Return how the numbers decide, in words."""
    if facts.direction == "weight":
        return "the number is the weight"
    if facts.direction == "test":
        return "a test of each token, whatever share is asked for"
    order = {"high": "highest", "low": "lowest"}[facts.direction]
    down = {"floor": "down", "ceil": "up"}[facts.rounding or "floor"]
    whole = "the step" if facts.acts == AT_EACH_STEP else "the dataset"
    where = whole if facts.scope == "dataset" else f"each {facts.scope}"
    return f"keeps the {order} {facts.keep:.0%} of {where}, rounded {down}"


def _wrapped(line: str) -> str:
    return textwrap.fill(line, _WIDTH, subsequent_indent="  ")
