"""The models of a run: looked through, checked to belong together, and named by their content."""

from dataclasses import dataclass

from tokensieve.artifact import Artifact
from tokensieve.errors import SettingsError
from tokensieve.models import (
    check_model_directory,
    check_same_tokenizer,
    companions_fingerprint,
    model_context,
    model_fingerprint,
    resolved_dtype,
)
from tokensieve.settings import Dtype

DEFAULT_MAX_LENGTH = 2048


@dataclass(frozen=True)
class ModelSpec:
    """A model to load, and the content it must have."""

    path: str
    fingerprint: str
    dtype: str
    device: str
    """`cpu` or `gpu`: the last bits of its numbers, and how batches are cut, depend on it."""
    companions: str
    """Hash of tokenizer, chat template and generation settings: what it answers depends on them,
    and a model trained from it has them too."""


def model_spec(path: str, dtype: Dtype, on_gpu: bool) -> ModelSpec:
    """Return the model in `path`; InputError if the directory cannot be used."""
    check_model_directory(path)
    return _spec(path, model_fingerprint(path), dtype, on_gpu)


def check_pair(base: str, reference: str, template: str) -> None:
    """Raise SettingsError or InputError unless both models can score the same tokens."""
    check_model_directory(reference)
    check_same_tokenizer(base, reference, template == "model")


def check_different(name: str, model: ModelSpec, other: str, second: ModelSpec) -> None:
    """Raise SettingsError if both are the same model."""
    if model.fingerprint == second.fingerprint:
        raise SettingsError(
            f"--{other}: is the same model as the {name}; every difference would be 0"
        )


def max_length(wanted: int | None, models: list[str]) -> int:
    """Return how many tokens of a sample are kept: never more than a model was made for."""
    context = min((model_context(path) for path in models), default=DEFAULT_MAX_LENGTH)
    if wanted is not None and wanted > context:
        raise SettingsError(
            f"corpus.max_length: is {wanted}, but the models were made for {context} tokens. "
            "Lower it, or leave it out."
        )
    return wanted or min(DEFAULT_MAX_LENGTH, context)


def trained_spec(artifact: Artifact, dtype: Dtype, on_gpu: bool) -> ModelSpec:
    """Return a model of this workspace that is known to be trained."""
    commit = artifact.required_commit()
    path = str(artifact.folder(commit.receipts[0], "model"))
    return _spec(path, commit.notes["fingerprint"], dtype, on_gpu)


def _spec(path: str, fingerprint: str, dtype: Dtype, on_gpu: bool) -> ModelSpec:
    device = "gpu" if on_gpu else "cpu"
    resolved = resolved_dtype(dtype, on_gpu)
    return ModelSpec(path, fingerprint, resolved, device, companions_fingerprint(path))
