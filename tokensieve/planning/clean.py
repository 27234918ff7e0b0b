"""Plan a cleaning run: every artifact it will use or make, named before any of the work is done."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tokensieve.artifact import Artifact
from tokensieve.ingest import Inventory
from tokensieve.methods import chosen_method
from tokensieve.models import load_tokenizer
from tokensieve.planning.evidence import (
    EvidencePlan,
    decisive_evidence,
    given_max_length,
    given_models,
    given_places,
    plan_evidence,
    scorer_of,
    unused_lines,
)
from tokensieve.planning.frozen import with_frozen_thresholds
from tokensieve.planning.models import ModelSpec, base_place
from tokensieve.planning.policies import check_policies, with_policies
from tokensieve.planning.room import check_room
from tokensieve.planning.steps import (
    CorpusStep,
    SelectionStep,
    corpus_step,
    look_for_files,
    selection_step,
)
from tokensieve.runs import Round, Run
from tokensieve.settings import CleaningSettings, CleanSettings
from tokensieve.storage import Storage, open_storage
from tokensieve.templates import load_template


@dataclass(frozen=True)
class CleanPlan:
    """What one run does, in the order in which it does it."""

    settings: CleaningSettings
    corpus: CorpusStep
    evidence: EvidencePlan
    """What the method looks at."""
    selection: SelectionStep
    run: Run
    round: Round

    @property
    def storage(self) -> Storage:
        """Return the workspace."""
        return self.corpus.artifact.storage

    @property
    def inventory(self) -> Inventory:
        """Return the input files."""
        return self.corpus.inventory

    @property
    def models(self) -> dict[str, ModelSpec]:
        """Return the models by role."""
        return {scoring.role: scoring.model for scoring in self.evidence.scorings}

    @property
    def unused(self) -> list[str]:
        """Return a line for each model or file that is given and not looked at."""
        return unused_lines(self.settings, [chosen_method(self.settings.selection)])

    @property
    def artifacts(self) -> dict[str, Artifact]:
        """Return every artifact by step, in order."""
        return {
            "make corpus": self.corpus.artifact,
            **self.evidence.artifacts,
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
    storage, cluster = open_storage(settings.workspace, settings.s3), settings.cluster
    method = chosen_method(settings.selection)
    models = given_models(settings, [method], on_gpu)
    length = given_max_length(settings, [method])
    base = base_place(settings)
    corpus = corpus_step(storage, settings.files, base, settings.corpus, length, cluster)
    return cleaning_of(settings, corpus, models)


def cleaning_of(
    settings: CleaningSettings,
    corpus: CorpusStep,
    models: Mapping[str, ModelSpec],
    frozen: Artifact | None = None,
    drop: str | None = None,
) -> CleanPlan:
    """Return how a corpus is cleaned. `frozen`: the selection whose thresholds hold; `drop`: what
    the run is named after, if not its method.
    """
    method, policies = chosen_method(settings.selection), settings.policies
    check_policies(policies, [method])
    evidence = plan_evidence([method], corpus.artifact, scorer_of(settings, models))
    selection = selection_step(
        corpus.artifact,
        evidence.scores,
        settings.selection,
        evidence.planted,
        models.get("base"),
        settings.scoring.attention_layer,
    )
    if frozen is not None:
        selection = with_frozen_thresholds(selection, frozen)
    selection = with_policies(selection, policies, corpus.base)
    round = Round(
        round=0,
        corpus=corpus.artifact.id,
        scores={role: artifact.id for role, artifact in selection.scores.items()},
        selection=selection.artifact.id,
    )
    name = f"{drop or settings.selection.method}-{selection.artifact.id[:8]}"
    run = _run(name, settings, corpus, evidence, selection)
    return CleanPlan(settings, corpus, evidence, selection, run, round)


def check_given(settings: CleanSettings) -> None:
    """Raise what `plan_clean` would raise, as far as a second of looking can tell.

    For people at a terminal: before a server is started, and before the input is read.
    """
    check_cleaning_given(settings)
    look_for_files(settings, settings.files)


def check_cleaning_given(settings: CleaningSettings) -> None:
    """Raise what is wrong with the settings of cleaning, like `check_given`, whatever the files."""
    method = chosen_method(settings.selection)
    given_places(settings, [method])
    check_policies(settings.policies, [method])
    load_template(settings.corpus.template, load_tokenizer(base_place(settings).path))
    given_max_length(settings, [method])


def _run(
    name: str,
    settings: CleaningSettings,
    corpus: CorpusStep,
    evidence: EvidencePlan,
    selection: SelectionStep,
) -> Run:
    """Return the run, whose name has that of what it makes: the same command, the same run."""
    models = {step.role: {"fingerprint": step.model.fingerprint} for step in evidence.scorings}
    return Run(
        name=name,
        flow="clean",
        settings=_decisive(settings, corpus, evidence, selection),
        inputs=corpus.inputs,
        models=models,
        corpora={"drop": corpus.artifact.id},
        num_rounds=1,
    )


def _decisive(
    settings: CleaningSettings, corpus: CorpusStep, evidence: EvidencePlan, selection: SelectionStep
) -> dict[str, Any]:
    """Return the settings that decide the result. Where and with how many is not among them."""
    plan = corpus.artifact.plan
    chosen = {"template": plan["template"]["name"], "max_length": plan["max_length"]}
    for step in evidence.scorings:
        chosen |= {key: step.artifact.plan[key] for key in ("dtype", "device", "batch_tokens")}
    chosen |= decisive_evidence(settings, [chosen_method(settings.selection)])
    if selection.frozen is not None:
        chosen["thresholds"] = selection.frozen.id
    keys = ("method", "parameters", "keep", "scope", "seed", "keep_empty", "policies")
    plan = selection.artifact.plan
    return chosen | {key: plan[key] for key in keys if key in plan}
