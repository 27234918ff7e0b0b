"""Plan a cleaning run: every artifact it will use or make, named before any of the work is done."""

from dataclasses import dataclass
from typing import Any

from tokensieve.artifact import Artifact
from tokensieve.errors import SettingsError
from tokensieve.ingest import Inventory
from tokensieve.ingest.directories import find_files
from tokensieve.methods import find_method
from tokensieve.models import check_model_directory, load_tokenizer
from tokensieve.planning.models import (
    ModelSpec,
    check_different,
    check_pair,
    max_length,
    model_spec,
)
from tokensieve.planning.room import check_room
from tokensieve.planning.steps import (
    CorpusStep,
    ScoringStep,
    SelectionStep,
    corpus_step,
    scoring_step,
    selection_step,
)
from tokensieve.runs import Round, Run
from tokensieve.settings import CleanSettings
from tokensieve.storage import LocalStorage
from tokensieve.templates import load_template


@dataclass(frozen=True)
class CleanPlan:
    """What one run does, in the order in which it does it."""

    settings: CleanSettings
    corpus: CorpusStep
    scorings: tuple[ScoringStep, ...]
    """One for each model that the method needs."""
    selection: SelectionStep
    run: Run
    round: Round

    @property
    def storage(self) -> LocalStorage:
        """Return the workspace."""
        return self.corpus.artifact.storage

    @property
    def inventory(self) -> Inventory:
        """Return the input files."""
        return self.corpus.inventory

    @property
    def models(self) -> dict[str, ModelSpec]:
        """Return the models by role."""
        return {scoring.role: scoring.model for scoring in self.scorings}

    @property
    def artifacts(self) -> dict[str, Artifact]:
        """Return every artifact by step, in order."""
        scores = {f"score {scoring.role}": scoring.artifact for scoring in self.scorings}
        return {
            "make corpus": self.corpus.artifact,
            **scores,
            "select tokens": self.selection.artifact,
        }

    def declare(self) -> None:
        """Publish the plans of the run and of its artifacts, so that status can speak of them.

        Raises SettingsError if the workspace cannot be used, ResourceError if it has not the room.
        """
        self.storage.probe()
        check_room(self.storage, self.corpus.num_bytes, self.artifacts.values())
        for artifact in self.artifacts.values():
            artifact.declare()
        self.run.publish(self.storage)
        self.run.begin_round(self.storage, self.round)


def plan_clean(settings: CleanSettings, on_gpu: bool) -> CleanPlan:
    """Return the plan of `settings`; check everything that can be checked without a forward pass.

    Nothing is written. Raises SettingsError and InputError.
    """
    storage, cluster = LocalStorage(settings.workspace), settings.cluster
    models = _models(settings, on_gpu)
    length = _max_length(settings)
    corpus = corpus_step(storage, settings.files, settings.base, settings.corpus, length, cluster)
    scorings = tuple(
        scoring_step(corpus.artifact, role, model, settings.scoring, cluster)
        for role, model in models.items()
    )
    scores = {scoring.role: scoring.artifact for scoring in scorings}
    selection = selection_step(corpus.artifact, scores, settings.selection)
    round = Round(
        round=0,
        corpus=corpus.artifact.id,
        scores={role: artifact.id for role, artifact in scores.items()},
        selection=selection.artifact.id,
    )
    run = _run(settings, corpus, scorings, selection)
    return CleanPlan(settings, corpus, scorings, selection, run, round)


def check_given(settings: CleanSettings) -> None:
    """Raise what `plan_clean` would raise, as far as a second of looking can tell.

    For people at a terminal: before a server is started, and before the input is read.
    """
    tokenizer = load_tokenizer(_model_paths(settings)["base"])
    load_template(settings.corpus.template, tokenizer)
    _max_length(settings)
    find_files([file for file in settings.files if "://" not in file], settings.corpus.split)


def _model_paths(settings: CleanSettings) -> dict[str, str]:
    """Return the model directories that the method needs, and the base's; each looked through."""
    method = find_method(settings.selection.method)
    given = {"base": settings.base, "reference": settings.reference}
    missing = [role for role in method.roles if given[role] is None]
    if missing:
        raise SettingsError(f"--{missing[0]}: the method {method.name} needs this model")
    paths = {role: path for role, path in given.items() if path and role in {"base", *method.roles}}
    for path in paths.values():
        check_model_directory(path)
    return paths


def _models(settings: CleanSettings, on_gpu: bool) -> dict[str, ModelSpec]:
    """Return the models that the method needs, checked to belong together."""
    paths, method = _model_paths(settings), find_method(settings.selection.method)
    if "reference" in paths:
        check_pair(paths["base"], paths["reference"], settings.corpus.template)
    specs = {role: model_spec(paths[role], settings.scoring.dtype, on_gpu) for role in method.roles}
    if {"base", "reference"} <= specs.keys():
        check_different(specs["base"], specs["reference"])
    return specs


def _max_length(settings: CleanSettings) -> int:
    paths = [path for path in (settings.base, settings.reference) if path]
    return max_length(settings.corpus.max_length, paths)


def _run(
    settings: CleanSettings,
    corpus: CorpusStep,
    scorings: tuple[ScoringStep, ...],
    selection: SelectionStep,
) -> Run:
    """Return the run, named after what it does and makes: the same command, the same run."""
    return Run(
        name=f"{settings.selection.method}-{selection.artifact.id[:8]}",
        flow="clean",
        settings=_decisive(corpus, scorings, selection),
        inputs=corpus.inputs,
        models={step.role: {"fingerprint": step.model.fingerprint} for step in scorings},
        corpora={"drop": corpus.artifact.id},
        num_rounds=1,
    )


def _decisive(
    corpus: CorpusStep, scorings: tuple[ScoringStep, ...], selection: SelectionStep
) -> dict[str, Any]:
    """Return the settings that decide the result. Where and with how many is not among them."""
    plan = corpus.artifact.plan
    chosen = {"template": plan["template"]["name"], "max_length": plan["max_length"]}
    for step in scorings:
        chosen |= {key: step.artifact.plan[key] for key in ("dtype", "device", "batch_tokens")}
    keys = ("method", "keep", "scope", "seed", "keep_empty")
    return chosen | {key: selection.artifact.plan[key] for key in keys}
