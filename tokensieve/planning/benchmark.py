"""Plan a benchmark: comparisons on a drop with planted noise, one arm of which knows it."""

from dataclasses import dataclass
from pathlib import Path

from tokensieve.planning.compare import check_compare_given
from tokensieve.planning.evidence import given_max_length
from tokensieve.planning.steps import CorpusStep, corpus_step
from tokensieve.settings import ArmsSettings, BenchmarkSettings, CompareSettings
from tokensieve.storage import LocalStorage

ORACLE = "oracle"
"""The arm that keeps every token but the noise."""


@dataclass(frozen=True)
class NoisyDrop:
    """A copy of a drop with planted noise."""

    drop: Path
    where: Path
    """Where the noise is: id, message and characters."""


def noisy_corpus(settings: BenchmarkSettings, noisy: NoisyDrop) -> CorpusStep:
    """Return how the noisy drop becomes a corpus."""
    length, files = given_max_length(settings), (str(noisy.drop),)
    storage = LocalStorage(settings.workspace)
    return corpus_step(storage, files, settings.base, settings.corpus, length, settings.cluster)


def compare_settings(
    settings: BenchmarkSettings,
    noisy: NoisyDrop,
    marks: Path,
    seed: int,
    controls: tuple[str, ...] = (),
) -> CompareSettings:
    """Return the comparison of one seed; `controls`: arms to compare beside those of the settings.

    The oracle is the method `external` on the marks, which are above 0 where a token is clean.
    """
    values = {name: getattr(settings, name) for name in ArmsSettings.model_fields}
    arms = ["external" if arm == ORACLE else arm for arm in settings.arms]
    parameters = dict(settings.parameters)
    if "external" in arms:
        parameters["external"] = {"rule": "positive"}
    return CompareSettings(
        **values
        | {
            "files": (str(noisy.drop),),
            "arms": tuple(dict.fromkeys([*arms, *controls])),
            "seeds": (seed,),
            "parameters": parameters,
            "external": str(marks) if "external" in arms else None,
        }
    )


def check_benchmark_given(settings: BenchmarkSettings) -> None:
    """Raise what the comparisons would raise, as far as a second of looking can tell."""
    first = Path(settings.files[0])
    check_compare_given(
        compare_settings(settings, NoisyDrop(first, first), first, settings.seeds[0])
    )
