"""Numbers that were made elsewhere, such as IGD's (arXiv 2506.13229) from a trie of item names."""

from tokensieve.corpus import Float64s
from tokensieve.methods.method import Evidence, Method


def external_value(evidence: Evidence) -> Float64s:
    """Return the number that the given file holds for each token."""
    return evidence.column("external", "value")


EXTERNAL = Method(
    name="external",
    source="the maker of the file",
    summary="keeps the share of the dataset's tokens whose number in the given file is highest",
    judge=external_value,
    columns={"external": ("value",)},
    direction="high",
    default_scope="dataset",
)
