"""Numbers that were made elsewhere, such as IGD's (arXiv 2506.13229) from a trie of item names."""

from typing import Literal

from tokensieve.corpus import Float64s
from tokensieve.methods.method import Evidence, Method, Parameters


class ExternalParameters(Parameters):
    """How the numbers decide."""

    rule: Literal["share", "positive"] = "share"
    """`share`: keep the share with the highest numbers; `positive`: keep every number above 0."""


def external_value(evidence: Evidence) -> Float64s:
    """Return the number that the given file holds for each token."""
    return evidence.column("external", "value")


def external(parameters: ExternalParameters) -> Method:
    """Return the method with this rule."""
    share = parameters.rule == "share"
    return Method(
        name="external",
        source="the maker of the file",
        summary="keeps the share of the dataset's tokens whose number in the given file is highest"
        if share
        else "keeps the tokens whose number in the given file is above 0",
        judge=external_value,
        columns={"external": ("value",)},
        direction="high" if share else "test",
        default_scope="dataset",
        parameters=parameters,
        configured=external,
    )


EXTERNAL = external(ExternalParameters())
