"""Plan a benchmark: comparisons on a drop with planted noise, one arm of which knows it."""

from dataclasses import dataclass

from tokensieve.errors import SettingsError
from tokensieve.planning.compare import arm_methods, check_compare_given
from tokensieve.planning.evidence import EXTERNAL, given_max_length
from tokensieve.planning.models import base_place
from tokensieve.planning.steps import CorpusStep, corpus_step
from tokensieve.settings import ArmsSettings, BenchmarkSettings, CompareSettings
from tokensieve.settings.runs import NOISE
from tokensieve.storage import open_storage

ORACLE = "oracle"
"""The arm that keeps every token but the noise."""


@dataclass(frozen=True)
class NoisyDrop:
    """A copy of a drop with planted noise, by the keys of the workspace."""

    id: str

    @property
    def drop(self) -> str:
        """Return the key of the copy."""
        return f"{NOISE}/{self.id}/drop.jsonl"

    @property
    def where(self) -> str:
        """Return the key of where the noise is: id, message and characters."""
        return f"{NOISE}/{self.id}/where.jsonl"

    def marks(self, corpus: str) -> str:
        """Return the key of the oracle's number for each token of the corpus with this id."""
        return f"{NOISE}/{self.id}/marks-{corpus}.parquet"


def noisy_corpus(settings: BenchmarkSettings, noisy: NoisyDrop) -> CorpusStep:
    """Return how the noisy drop becomes a corpus."""
    compared = compare_settings(settings, noisy, noisy.where, settings.seeds[0])
    length = given_max_length(compared, arm_methods(compared))
    storage, base = open_storage(settings.workspace, settings.s3), base_place(settings)
    files, cluster = compared.files, settings.cluster
    return corpus_step(storage, files, base, settings.corpus, length, cluster)


def compare_settings(
    settings: BenchmarkSettings,
    noisy: NoisyDrop,
    marks: str,
    seed: int,
    controls: tuple[str, ...] = (),
) -> CompareSettings:
    """Return the comparison of one seed; `controls`: arms to compare beside those of the settings.

    The oracle is the method `external` on what lies under the key `marks`: numbers above 0 where a
    token is clean.
    Raises SettingsError if that method itself is among the arms.
    """
    _check_external(settings)
    values = {name: getattr(settings, name) for name in ArmsSettings.model_fields}
    arms = [EXTERNAL if arm == ORACLE else arm for arm in settings.arms]
    parameters, storage = dict(settings.parameters), open_storage(settings.workspace, settings.s3)
    if EXTERNAL in arms:
        parameters[EXTERNAL] = {"rule": "positive"}
    return CompareSettings(
        **values
        | {
            "files": (storage.place(noisy.drop),),
            "arms": tuple(dict.fromkeys([*arms, *controls])),
            "seeds": (seed,),
            "parameters": parameters,
            "external": storage.place(marks) if EXTERNAL in arms else None,
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
