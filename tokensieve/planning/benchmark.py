"""Plan a benchmark: comparisons on a drop with planted noise, one arm of which knows it."""

from dataclasses import dataclass
from pathlib import Path

from tokensieve.errors import SettingsError
from tokensieve.planning.compare import arm_methods, check_compare_given
from tokensieve.planning.evidence import EXTERNAL, given_max_length
from tokensieve.planning.steps import CorpusStep, corpus_step
from tokensieve.settings import ArmsSettings, BenchmarkSettings, CompareSettings
from tokensieve.storage import open_storage

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
    compared = compare_settings(settings, noisy, noisy.where, settings.seeds[0])
    length = given_max_length(compared, arm_methods(compared))
    storage, files = open_storage(settings.workspace, settings.s3), compared.files
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
    Raises SettingsError if that method itself is among the arms.
    """
    _check_external(settings)
    values = {name: getattr(settings, name) for name in ArmsSettings.model_fields}
    arms = [EXTERNAL if arm == ORACLE else arm for arm in settings.arms]
    parameters = dict(settings.parameters)
    if EXTERNAL in arms:
        parameters[EXTERNAL] = {"rule": "positive"}
    return CompareSettings(
        **values
        | {
            "files": (str(noisy.drop),),
            "arms": tuple(dict.fromkeys([*arms, *controls])),
            "seeds": (seed,),
            "parameters": parameters,
            "external": str(marks) if EXTERNAL in arms else None,
        }
    )


def check_benchmark_given(settings: BenchmarkSettings) -> None:
    """Raise what the comparisons would raise, as far as a second of looking can tell."""
    _check_external(settings)
    arms = tuple(arm for arm in settings.arms if arm != ORACLE)  # its numbers are not made yet
    values = {name: getattr(settings, name) for name in ArmsSettings.model_fields}
    check_compare_given(CompareSettings(**values | {"arms": arms or ("full",)}))


def _check_external(settings: BenchmarkSettings) -> None:
    named = [arm.partition("@")[0] for arm in settings.arms]
    if EXTERNAL in [*named, *settings.parameters]:
        raise SettingsError(
            f"arms, parameters: {EXTERNAL} has no numbers of the noisy drop. Name the arm "
            f"{ORACLE}, which knows where the noise is, or compare your numbers."
        )
