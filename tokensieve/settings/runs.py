"""The settings of each command, as trees of the groups."""

from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, ValidationInfo, field_validator

from tokensieve.addresses import is_address, lies_in, s3_address, workspace_address
from tokensieve.errors import SettingsError
from tokensieve.settings.groups import (
    ClusterSettings,
    CorpusSettings,
    DriftSettings,
    EvaluationSettings,
    RoundsSettings,
    S3Settings,
    ScoringSettings,
    SelectionSettings,
    TrainingSettings,
)
from tokensieve.settings.policies import PolicySettings
from tokensieve.settings.tree import Settings, absolute, absolute_if_file

HUB = "hf://"
NOISE = "noise"
"""Where the copies of drops lie below a workspace into which noise is planted."""
_MODELS = ("reference", "harmful", "bottleneck")


class WorkspaceSettings(Settings):
    """What every command has."""

    base: str
    """Directory of the base model, here or `s3://bucket/directory`."""
    workspace: str = Field(default="workspace", validate_default=True)
    """Where every artifact of every run lies: a directory, or `s3://bucket/prefix`."""
    s3: S3Settings = S3Settings()
    cluster: ClusterSettings = ClusterSettings()

    @classmethod
    def path_keys(cls) -> tuple[str, ...]:
        """Return the keys that hold paths."""
        return ("base", "workspace")

    def local_paths(self) -> tuple[str, ...]:
        """Return what is given to the run and is on a disk of this machine."""
        given: list[str] = []
        for key in self.path_keys():
            value = getattr(self, key, None) or ()
            given += [value] if isinstance(value, str) else value
        return tuple(path for path in given if path != self.workspace and Path(path).exists())

    @field_validator("workspace")
    @classmethod
    def _absolute_workspace(cls, workspace: str) -> str:
        return str(workspace_address(workspace)) if is_address(workspace) else absolute(workspace)

    @field_validator("base", "init", "external", "location", *_MODELS, check_fields=False)
    @classmethod
    def _absolute_model(cls, model: str | None) -> str | None:
        return None if model is None else _address_or_path(model)

    @field_validator("files", "warmup", "holdout", "harmful_data", check_fields=False)
    @classmethod
    def _absolute_files(cls, files: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        given = tuple(file if file.startswith(HUB) else _address_or_path(file) for file in files)
        for file in filter(is_address, given):
            _check_apart(file, str(info.data.get("workspace")))
        return given


class FilesSettings(WorkspaceSettings):
    """What every command has that is told which files to read."""

    files: tuple[str, ...] = Field(min_length=1)
    """SFT files or directories of them, here or `s3://bucket/key`; `datasets` directories;
    `hf://name`."""


class DropSettings(WorkspaceSettings):
    """What every command has that reads a drop."""

    corpus: CorpusSettings = CorpusSettings()
    scoring: ScoringSettings = ScoringSettings()

    @classmethod
    def path_keys(cls) -> tuple[str, ...]:
        """Return the keys that hold paths."""
        files = ("files", "location", "warmup", "holdout", "harmful_data")
        return (*super().path_keys(), *files, *_MODELS, "external")

    @field_validator("corpus")
    @classmethod
    def _absolute_template(cls, corpus: CorpusSettings) -> CorpusSettings:
        template = absolute_if_file(corpus.template)
        return corpus.model_copy(update={"template": template})


class ScoredSettings(DropSettings):
    """What every command has whose methods look at models that are given."""

    reference: str | None = None
    """Directory of the reference model. Unset: `compare` takes the base after the warm-up, and
    methods that need none run without it."""
    harmful: str | None = None
    """Directory of a model trained on harmful data, for toss."""
    bottleneck: str | None = None
    """Directory of a checkpoint of plain training at its worst accuracy, for t3s."""


class ExternalSettings(ScoredSettings):
    """What every command has that takes numbers made elsewhere."""

    external: str | None = None
    """Parquet file of `sample_id` and a list of floats, for the method external."""


class CleaningSettings(ExternalSettings):
    """How a drop is cleaned, whichever it is."""

    selection: SelectionSettings = SelectionSettings()
    policies: PolicySettings = PolicySettings()


class CleanSettings(FilesSettings, CleaningSettings):
    """One cleaning run."""


class CleanDropsSettings(CleaningSettings):
    """Cleaning of whatever is new at a place."""

    location: str
    """A directory, or `s3://bucket/prefix`: each folder in it is a drop."""
    quiet_minutes: float = Field(default=10.0, ge=0)
    """A drop is complete when nothing in it has changed for so long, or when a file `_SUCCESS` was
    written last."""
    thresholds: str = "refit"
    """`refit`: each drop keeps its own best share. Or name of a run, or id of a selection: tokens
    are kept that score as well as those kept there, as many as there are."""
    drift: DriftSettings = DriftSettings()


class TrainerSettings(WorkspaceSettings):
    """How trainings are done, whatever the selection."""

    init: str | None = None
    """Directory of the model to start from, if it is not the base."""
    training: TrainingSettings = TrainingSettings()

    @classmethod
    def path_keys(cls) -> tuple[str, ...]:
        """Return the keys that hold paths."""
        return (*super().path_keys(), "init")


class TrainSettings(TrainerSettings):
    """One training run on a selection."""

    selection: str
    """Id of the selection, or name of the run whose last round made it."""


class EvolveSettings(FilesSettings, DropSettings):
    """Self-evolving cleaning: rounds of score, select and train."""

    warmup: tuple[str, ...] = ()
    """Files of the warm-up. Unset: it takes the first part of the corpus."""
    holdout: tuple[str, ...] = ()
    """Files that are never trained on; a new reference has to hold its loss on them. Of a harmful
    model it is measured only."""
    reference: str | None = None
    """Directory of the utility model, for toss. Other methods make their own reference."""
    harmful_data: tuple[str, ...] = ()
    """Files of harmful samples, for toss: what the first harmful model is trained on."""
    harmful_added: int = Field(default=100, ge=1)
    """Samples of the drop that each round of toss adds to the harmful data."""
    selection: SelectionSettings = SelectionSettings()
    policies: PolicySettings = PolicySettings()
    rounds: RoundsSettings = RoundsSettings()
    training: TrainingSettings = TrainingSettings()


class ArmsSettings(FilesSettings, ScoredSettings):
    """What every command has that trains and evaluates arms alike."""

    holdout: tuple[str, ...] = Field(min_length=1)
    """Files that are never trained on; every model is evaluated on them."""
    arms: tuple[str, ...] = Field(
        default=("full", "random", "rho", "fixed-model", "self-evolving"), min_length=1
    )
    """Methods to compare; `full` and `random` are what the others have to beat. `toss@0.9` keeps
    another share than `keep`, and is compared with `random@0.9`."""
    parameters: dict[str, dict[str, Any]] = Field(default={})
    """Of methods, by their names, where their own defaults are not wanted."""
    seeds: tuple[Annotated[int, Field(ge=0)], ...] = Field(default=(0, 1, 2), min_length=1)
    """Each arm is trained once with each."""
    warmup: tuple[str, ...] = ()
    """Files of the warm-up. Unset: it takes the first part of the corpus."""
    keep: float = Field(default=0.6, gt=0, le=1)
    """Share of the response tokens that every arm keeps whose method keeps a share, so that all can
    be compared with one `random`. The shares of the papers are 0.9 of toss, 0.7 of forgetting,
    reference-loss and reference-entropy, and 0.6."""
    policies: PolicySettings = PolicySettings()
    rounds: RoundsSettings = RoundsSettings()
    training: TrainingSettings = TrainingSettings()
    evaluation: EvaluationSettings = EvaluationSettings()

    @field_validator("evaluation")
    @classmethod
    def _absolute_task_path(cls, evaluation: EvaluationSettings) -> EvaluationSettings:
        path = evaluation.task_path
        return evaluation.model_copy(update={"task_path": path and absolute(path)})


class CompareSettings(ArmsSettings, ExternalSettings):
    """Does cleaning help on this data?"""


class BenchmarkSettings(ArmsSettings):
    """Which method finds the noise in data like this, and what is each worth?"""

    arms: tuple[str, ...] = Field(
        default=("full", "random", "oracle", "rho", "fixed-model", "reference-loss", "sieve"),
        min_length=1,
    )
    """Methods, `self-evolving`, and `oracle`, which knows where the noise is. Beside those that set
    their own rate a random control at that rate is put."""
    noise_rate: float = Field(default=0.4, gt=0, le=1)
    """Share of the answers into which noise is planted."""


def _address_or_path(text: str) -> str:
    """Return an s3:// address, checked, or an absolute path."""
    return str(s3_address(text)) if is_address(text) else absolute(text)


def _check_apart(file: str, workspace: str) -> None:
    """Raise SettingsError if runs would take for their input what other runs make."""
    is_planted = lies_in(file, f"{workspace}/{NOISE}")
    if not is_planted and (lies_in(file, workspace) or lies_in(workspace, file)):
        raise SettingsError(
            f"{file} and the workspace {workspace} lie in each other. Choose another --workspace"
        )
