"""Every setting of a run, each written, documented and given its default once.

The same frozen tree comes from a TOML file, from the flags of the command line and from the
parameters of a Prefect deployment. Unknown keys are errors.
"""

import tomllib
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from tokensieve.errors import SettingsError, shortened

Scope = Literal["dataset", "source", "sample"]


class Settings(BaseModel):
    """Base of all settings: frozen, and strict about keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")


AnySettings = TypeVar("AnySettings", bound=Settings)


class CorpusSettings(Settings):
    """How rows become samples."""

    template: str = "model"
    """`model` (the model's own chat template), a built-in name, or the path of a Jinja file."""
    max_length: int | None = Field(default=None, ge=2)
    """Tokens of a sample that are kept; what is longer is cut at the end and counted.
    Unset: 2048, or the context of the models if that is shorter."""
    split: str = "train"
    """Which split of a dataset that has several."""
    max_quarantine: float = Field(default=0.01, ge=0, le=1)
    """Largest share of bad rows a run accepts. If every row is bad, it always stops."""


class ScoringSettings(Settings):
    """How a model is run over the corpus."""

    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    """`auto`: bfloat16 where the device multiplies matrices faster in it, else float32."""
    batch_tokens: int = Field(default=16384, ge=1)
    """Largest number of tokens in a batch, padding included. A CPU never takes more than 1024."""
    max_non_finite: float = Field(default=0.001, ge=0, le=1)
    """Share of response tokens with a non-finite score above which a model is refused."""


class SelectionSettings(Settings):
    """Which tokens are kept."""

    method: str = "fixed-model"
    """A name from `tokensieve.methods.METHODS`."""
    keep: float = Field(default=0.6, gt=0, le=1)
    """Share of the scored response tokens to keep. Methods that test each token do not use it."""
    scope: Scope | None = None
    """Where the share is counted. Unset: the method's own scope."""
    seed: int = 0
    """Seed of methods that draw."""
    keep_empty: bool = False
    """Leave samples without a trained token in the training view."""


class TrainingSettings(Settings):
    """How a model is trained."""

    learning_rate: float = Field(default=2e-5, gt=0)
    """Of AdamW, at its highest: after the warm-up, before the linear decay."""
    warmup: float = Field(default=0.03, ge=0, le=1)
    """Share of the optimizer steps in which the learning rate rises."""
    epochs: int = Field(default=1, ge=1)
    """How often each sample is trained on."""
    step_samples: int = Field(default=48, ge=1)
    """Samples of one optimizer step."""
    batch_tokens: int = Field(default=8192, ge=1)
    """Largest number of tokens in a forward pass, padding included; changes no result."""
    seed: int = 0
    """Seed of the order of the samples, and of dropout."""


class ClusterSettings(Settings):
    """Where the work runs."""

    address: str | None = None
    """A running Ray cluster. Unset: one is started on this machine, on loopback."""
    workers: int | None = Field(default=None, ge=1)
    """Scoring actors. Unset: as many as the GPUs hold; without a GPU one per core, at most 4."""
    gpus_per_worker: float | None = Field(default=None, ge=0)
    """GPUs of one actor: a fraction shares one, more than 1 spreads the model. Unset: 1 if any."""


class CleanSettings(Settings):
    """One cleaning run."""

    files: tuple[str, ...] = Field(min_length=1)
    """SFT files, dataset directories, or `hf://name`."""
    base: str
    """Directory of the base model."""
    reference: str | None = None
    """Directory of the reference model; methods that need none run without it."""
    workspace: Path = Field(default=Path("workspace"), validate_default=True)
    """Where every artifact of every run lies."""
    corpus: CorpusSettings = CorpusSettings()
    scoring: ScoringSettings = ScoringSettings()
    selection: SelectionSettings = SelectionSettings()
    cluster: ClusterSettings = ClusterSettings()

    @field_validator("workspace")
    @classmethod
    def _absolute_workspace(cls, workspace: Path) -> Path:
        return workspace.expanduser().absolute()

    @field_validator("base", "reference")
    @classmethod
    def _absolute_model(cls, model: str | None) -> str | None:
        return None if model is None else _absolute(model, Path.cwd())

    @field_validator("files")
    @classmethod
    def _absolute_files(cls, files: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(_absolute(file, Path.cwd()) for file in files)

    @field_validator("corpus")
    @classmethod
    def _absolute_template(cls, corpus: CorpusSettings) -> CorpusSettings:
        template = _absolute_if_file(corpus.template, Path.cwd())
        return corpus.model_copy(update={"template": template})

    @classmethod
    def load(cls, config: Path | None, flags: dict[str, Any]) -> Self:
        """Return the settings of a TOML file with the given flags (nested, no None) laid over it.

        Relative paths in the file are relative to the file. Raises SettingsError.
        """
        values = _read_toml(config) if config else {}
        return checked(cls, _merged(values, flags))


def checked(model: type[AnySettings], values: dict[str, Any]) -> AnySettings:
    """Return `values` as settings; raise SettingsError naming every wrong key."""
    try:
        return model.model_validate(values)
    except ValidationError as error:
        problems = [_problem(model, e["loc"], e["msg"], e.get("input")) for e in error.errors()]
        raise SettingsError("\n".join(problems)) from None


def _read_toml(path: Path) -> dict[str, Any]:
    """Return the file's settings, with its relative paths made absolute."""
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SettingsError(f"{path}: cannot be read as TOML settings: {error}") from None
    here = path.absolute().parent
    for key in ("base", "reference", "workspace"):
        if isinstance(values.get(key), str):
            values[key] = _absolute(values[key], here)
    if isinstance(values.get("files"), list):
        values["files"] = [_absolute(f, here) if isinstance(f, str) else f for f in values["files"]]
    corpus = values.get("corpus")
    if isinstance(corpus, dict) and isinstance(corpus.get("template"), str):
        corpus["template"] = _absolute_if_file(corpus["template"], here)
    return values


def _absolute(path: str, here: Path) -> str:
    """Return the path as workers can use it, who run in other directories; addresses stay."""
    return path if "://" in path else str(here / Path(path).expanduser())


def _absolute_if_file(template: str, here: Path) -> str:
    """Return the path of a template file; the name of a template stays."""
    path = here / template
    return str(path) if path.is_file() else template


def _merged(values: dict[str, Any], flags: dict[str, Any]) -> dict[str, Any]:
    """Return `values` with every flag that was given laid over it."""
    merged = dict(values)
    for key, flag in flags.items():
        below = merged.get(key, {})
        if isinstance(flag, dict) and isinstance(below, dict):
            merged[key] = _merged(below, flag)
        elif isinstance(flag, dict):
            continue  # the file has something else where a table belongs, and is told so
        elif flag is not None:
            merged[key] = flag
    return merged


def _problem(
    model: type[Settings], location: tuple[int | str, ...], message: str, value: object
) -> str:
    """Return one line for one wrong key, with the nearest right one if it is merely misspelt."""
    name = ".".join(str(part) for part in location)
    if not message.startswith("Extra inputs"):
        return f"{name}: {message} (got {shortened(value)})"
    fields: Any = model.model_fields
    for part in location[:-1]:
        fields = fields[part].annotation.model_fields
    near = get_close_matches(str(location[-1]), fields, n=1)
    hint = f"did you mean {near[0]}?" if near else f"known keys: {', '.join(fields)}"
    return f"{name}: unknown key; {hint}"
