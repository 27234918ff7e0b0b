"""The models of a run: looked through, checked to belong together, and named by their content."""

from dataclasses import dataclass

from tokensieve.artifact import Artifact, folder_hashes
from tokensieve.errors import SettingsError
from tokensieve.models import (
    ModelPlace,
    check_model_directory,
    check_same_tokenizer,
    companions_fingerprint,
    companions_of_files,
    model_context,
    model_fingerprint,
    resolved_dtype,
)
from tokensieve.settings import Dtype, S3Settings, WorkspaceSettings

DEFAULT_MAX_LENGTH = 2048


@dataclass(frozen=True)
class ModelSpec:
    """A model to load, and the content it must have."""

    place: ModelPlace
    fingerprint: str
    dtype: str
    device: str
    """`cpu` or `gpu`: the last bits of its numbers, and how batches are cut, depend on it."""
    companions: str
    """Hash of tokenizer, chat template and generation settings: what it answers depends on them,
    and a model trained from it has them too."""

    @property
    def path(self) -> str:
        """Return a directory of this machine that holds it, fetched if it lies elsewhere."""
        return self.place.path


def model_spec(place: ModelPlace, dtype: Dtype, on_gpu: bool) -> ModelSpec:
    """Return the model that lies there; InputError if the directory cannot be used."""
    path = place.path
    check_model_directory(path)
    return _spec(place, model_fingerprint(path), companions_fingerprint(path), dtype, on_gpu)


def base_place(settings: WorkspaceSettings) -> ModelPlace:
    """Return where the base lies."""
    return ModelPlace(settings.base, settings.s3)


def check_pair(base: ModelPlace, reference: ModelPlace, template: str) -> None:
    """Raise SettingsError or InputError unless both models can score the same tokens."""
    check_model_directory(reference.path)
    check_same_tokenizer(base.path, reference.path, template == "model")


def check_different(name: str, model: ModelSpec, other: str, second: ModelSpec) -> None:
    """Raise SettingsError if both are the same model."""
    if model.fingerprint == second.fingerprint:
        raise SettingsError(
            f"--{other}: is the same model as the {name}; every difference would be 0"
        )


def max_length(wanted: int | None, models: list[ModelPlace]) -> int:
    """Return how many tokens of a sample are kept: never more than a model was made for."""
    context = min((model_context(model.path) for model in models), default=DEFAULT_MAX_LENGTH)
    if wanted is not None and wanted > context:
        raise SettingsError(
            f"corpus.max_length: is {wanted}, but the models were made for {context} tokens. "
            "Lower it, or leave it out."
        )
    return wanted or min(DEFAULT_MAX_LENGTH, context)


def trained_spec(artifact: Artifact, s3: S3Settings, dtype: Dtype, on_gpu: bool) -> ModelSpec:
    """Return a model of this workspace, reached as `s3` says, that is known to be trained."""
    commit = artifact.required_commit()
    [receipt] = commit.receipts
    place = ModelPlace(artifact.folder(receipt, "model"), s3)
    companions = companions_of_files(folder_hashes(receipt, "model"))
    return _spec(place, commit.notes["fingerprint"], companions, dtype, on_gpu)


def _spec(
    place: ModelPlace, fingerprint: str, companions: str, dtype: Dtype, on_gpu: bool
) -> ModelSpec:
    device = "gpu" if on_gpu else "cpu"
    return ModelSpec(place, fingerprint, resolved_dtype(dtype, on_gpu), device, companions)
