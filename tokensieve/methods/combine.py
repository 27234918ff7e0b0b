"""Several methods together: what all of them keep, what any keeps, or what ranks high with all.

By default what Rho-1 (arXiv 2404.07965) found best without curated data: the tokens that are both
among the 70% of lowest loss and the 70% of lowest entropy by the reference.
"""

from functools import partial
from typing import Any, Literal

from pydantic import Field, NonNegativeFloat

from tokensieve.errors import SettingsError, shortened
from tokensieve.methods.catalogue import SINGLE_METHODS, find_among
from tokensieve.methods.method import Evidence, Judgement, Method, Parameters
from tokensieve.methods.places import Rankings, fit_rankings
from tokensieve.methods.reasons import joined_names
from tokensieve.methods.voting import Voters, fit_voters

Members = tuple[Method, ...]


class CombineParameters(Parameters):
    """Which methods, and how they are brought together."""

    methods: tuple[str, ...] = Field(
        default=("reference-loss", "reference-entropy"), min_length=2, max_length=8
    )
    """The members. Ones that act at each step make the whole act at each step: then the others
    rank the step's samples."""
    how: Literal["intersection", "union", "rank"] = "intersection"
    """`intersection`: keep what every member keeps; `union`: what any member keeps; `rank`: the
    selection's share of highest mean place in the members' orders of the dataset."""
    weights: tuple[NonNegativeFloat, ...] = ()
    """Of the members in the mean of `rank`. Empty: all alike."""
    parameters: dict[str, dict[str, Any]] = Field(default={})
    """Of the members, by name, where their own defaults are not wanted."""
    keep: float = Field(default=0.7, gt=0, le=1)
    """Share that each member keeps, if it keeps one, for `intersection` and `union`."""


_SUMMARIES = {
    "intersection": "keeps the tokens that each of {} keeps",
    "union": "keeps the tokens that any of {} keeps",
    "rank": "keeps the share of the dataset's tokens of highest mean place by {}",
}


def combine(parameters: CombineParameters) -> Method:
    """Return the method that brings these together.

    Raises SettingsError for members that cannot be together, and for parameters that do not fit.
    """
    members = _members(parameters)
    parameters = _resolved(parameters, members)
    rank = parameters.how == "rank"
    return Method(
        name="combine",
        source="Rho-1, Lin et al., NeurIPS 2024, arXiv 2404.07965, by loss and entropy; any others",
        summary=_SUMMARIES[parameters.how].format(", ".join(parameters.methods)),
        judge=partial(_rank, _weights(parameters)) if rank else partial(_vote, _needed(parameters)),
        columns=_columns(members),
        direction="high" if rank else "test",
        draws=any(member.draws for member in members),
        parameters=parameters,
        configured=combine,
        reasons=() if rank else joined_names(parameters.methods),
        fit=partial(fit_rankings, members)
        if rank
        else partial(fit_voters, members, parameters.keep),
        embeds=any(member.embeds for member in members),
        plants=any(member.plants for member in members),
        members=members,
    )


def _rank(weights: tuple[float, ...], evidence: Evidence) -> Judgement:
    fitted: Rankings = evidence.fitted
    return fitted.judge(evidence, weights)


def _vote(num_needed: int, evidence: Evidence) -> Judgement:
    fitted: Voters = evidence.fitted
    return fitted.judge(evidence, num_needed)


def _needed(parameters: CombineParameters) -> int:
    return len(parameters.methods) if parameters.how == "intersection" else 1


def _weights(parameters: CombineParameters) -> tuple[float, ...]:
    return parameters.weights or (1.0,) * len(parameters.methods)


def _resolved(parameters: CombineParameters, members: Members) -> CombineParameters:
    """Return the parameters with all of every member: what is meant alike is named alike."""
    values = {member.name: member.parameters.model_dump(mode="json") for member in members}
    given = {name: each for name, each in values.items() if each}
    return parameters.model_copy(update={"parameters": given})


def _columns(members: Members) -> dict[str, tuple[str, ...]]:
    """Return the columns of each role that any member needs."""
    columns: dict[str, tuple[str, ...]] = {}
    for member in members:
        for role, names in member.columns.items():
            columns[role] = tuple(dict.fromkeys([*columns.get(role, ()), *names]))
    return columns


def _members(parameters: CombineParameters) -> Members:
    """Return the members with their parameters; raise SettingsError if they cannot be together."""
    names = parameters.methods
    if len(set(names)) < len(names):
        raise SettingsError(f"methods: one is named twice in {shortened(list(names))}.")
    unused = parameters.parameters.keys() - set(names)
    if unused:
        raise SettingsError(f"parameters: {shortened(min(unused))} is none of the methods.")
    _check_weights(parameters)
    members = tuple(_member(name, parameters.parameters.get(name, {})) for name in names)
    _check_together(members)
    return members


def _check_weights(parameters: CombineParameters) -> None:
    weights, num_methods = parameters.weights, len(parameters.methods)
    if weights and parameters.how != "rank":
        raise SettingsError(f"weights: are of no account to {parameters.how}. Leave them out.")
    if weights and (len(weights) != num_methods or not sum(weights)):
        raise SettingsError(
            f"weights: are {shortened(list(weights))} for {num_methods} methods. Give one to each, "
            "not all of them 0."
        )


def _member(name: str, parameters: dict[str, Any]) -> Method:
    if name == "combine":
        raise SettingsError("methods: combine cannot be one of its own. Name its members instead.")
    member = find_among(SINGLE_METHODS, name, parameters)
    if member.direction == "weight" or member.unlearns:
        raise SettingsError(
            f"methods: {name} weighs tokens instead of choosing them, so it cannot be combined."
        )
    return member


def _check_together(members: Members) -> None:
    """Raise SettingsError where one member needs what the others make impossible."""
    by_step = [member.name for member in members if member.each_step]
    fitted = [member.name for member in members if member.embeds or member.plants]
    if by_step and fitted:
        raise SettingsError(
            f"methods: {by_step[0]} chooses at every step of a training, but {fitted[0]} has to "
            "see the whole corpus first. Combine either with others."
        )


COMBINE = combine(CombineParameters())
