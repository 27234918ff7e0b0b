"""Plan the training of a model on a selection."""

from dataclasses import dataclass
from pathlib import Path

from tokensieve.artifact import Artifact, load_artifact
from tokensieve.errors import SettingsError
from tokensieve.models import (
    ModelPlace,
    check_model_directory,
    check_same_tokenizer,
    load_tokenizer,
    tokenizer_fingerprint,
)
from tokensieve.planning.models import ModelSpec, base_place, model_spec, trained_spec
from tokensieve.planning.room import check_room, training_bytes
from tokensieve.planning.steps import TrainingStep, training_step
from tokensieve.runs import Round, Run
from tokensieve.selection_lookup import ARTIFACT_ID, find_selection
from tokensieve.settings import TrainSettings
from tokensieve.storage import Storage, open_storage


@dataclass(frozen=True)
class TrainPlan:
    """One training."""

    settings: TrainSettings
    training: TrainingStep
    run: Run
    round: Round

    @property
    def storage(self) -> Storage:
        """Return the workspace."""
        return self.training.artifact.storage

    def declare(self) -> None:
        """Publish the plan of the run.

        Raises SettingsError if the workspace cannot be used, ResourceError if it has not the room.
        """
        self.storage.probe()
        needed = training_bytes(self.training.init.path, 1, self.settings.training)
        check_room(self.storage, 0, [self.training.artifact], needed)
        self.training.artifact.declare()
        self.run.publish(self.storage)
        self.run.begin_round(self.storage, self.round)


def plan_train(settings: TrainSettings, on_gpu: bool) -> TrainPlan:
    """Return the plan; nothing is written.

    Raises SettingsError if there is no such selection or model, InputError if they do not belong
    together.
    """
    storage = open_storage(settings.workspace, settings.s3)
    selection = find_selection(storage, settings.selection)
    corpus = load_artifact(storage, "corpora", selection.plan["corpus"])
    init = _init(storage, settings, on_gpu)
    check_tokenizer(corpus, init.place)
    training = training_step(selection, corpus, init, settings.training, settings.cluster)
    round = Round(
        round=0,
        corpus=corpus.id,
        scores=selection.plan["scores"],
        selection=selection.id,
        model=training.artifact.id,
    )
    run = Run(
        name=f"train-{training.artifact.id[:8]}",
        flow="train",
        settings=dict(training.artifact.plan["training"]),
        inputs=[],
        models={"init": {"fingerprint": init.fingerprint}},
        corpora={},
        num_rounds=1,
    )
    return TrainPlan(settings, training, run, round)


def check_train_given(settings: TrainSettings) -> None:
    """Raise what `plan_train` would raise, as far as a second of looking can tell."""
    find_selection(open_storage(settings.workspace, settings.s3), settings.selection)
    check_model_directory(base_place(settings).path)


def _init(storage: Storage, settings: TrainSettings, on_gpu: bool) -> ModelSpec:
    """Return the model to start from: a directory, or a model of this workspace by its id."""
    precision = settings.training.precision
    id = Path(settings.init or "").name
    if ARTIFACT_ID.fullmatch(id) and storage.exists(f"models/{id}/COMMIT.json"):
        return trained_spec(load_artifact(storage, "models", id), settings.s3, precision, on_gpu)
    base = base_place(settings)
    if settings.init is None:
        return model_spec(base, precision, on_gpu)
    init = model_spec(ModelPlace(settings.init, settings.s3), precision, on_gpu)
    check_same_tokenizer(base.path, init.path, with_chat_template=False)
    return init


def check_tokenizer(corpus: Artifact, model: ModelPlace) -> None:
    """Raise SettingsError if the model's tokenizer did not make the corpus: its ids would mean
    other texts.
    """
    whole = load_artifact(corpus.storage, "corpora", corpus.plan.get("of", corpus.id))
    found = tokenizer_fingerprint(load_tokenizer(model.path), with_chat_template=False)
    if found != whole.plan["tokenizer"]:
        raise SettingsError(
            f"{model}: has another tokenizer than the one that made the selection's corpus "
            f"{whole.id}. Train the model that was the base of the run, or clean with this one."
        )
