"""Runs: which artifacts each round of a run uses and makes.

    runs/<name>/RUN.json          created before the work: settings, inputs, models, artifact ids
               /round-000.json    created when everything the round names is committed

All ids are known before any work is done, because an id hashes a plan and not a result. A one-shot
clean is round 0.
"""

from typing import Any

from pydantic import BaseModel, ConfigDict

from tokensieve.artifact import Artifact, load_artifact
from tokensieve.documents import parsed, sealed_json
from tokensieve.errors import ConflictError, DamagedError, shortened
from tokensieve.storage import LocalStorage


class Round(BaseModel):
    """The artifacts of one turn of score and select."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    round: int
    corpus: str
    """Id of the corpus."""
    scores: dict[str, str]
    """Id of the scores by role: `base`, `reference`."""
    selection: str
    """Id of the selection."""

    def names(self) -> dict[str, tuple[str, str]]:
        """Return kind and id of each artifact by step name, in the order in which they are made."""
        named = {"corpus": ("corpora", self.corpus)}
        named |= {f"scores.{role}": ("scores", id) for role, id in self.scores.items()}
        return named | {"selection": ("selections", self.selection)}

    def artifacts(self, storage: LocalStorage) -> dict[str, Artifact]:
        """Return the declared artifacts by step name, in the order in which they are made."""
        return {step: load_artifact(storage, *name) for step, name in self.names().items()}


class Run(BaseModel):
    """One run: what was asked for, of what, and where the results will lie."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    settings: dict[str, Any]
    """The settings that decide the result, as JSON values."""
    inputs: list[dict[str, Any]]
    """Name, source, format, num_bytes and sha256 of each input file."""
    models: dict[str, dict[str, str]]
    """`fingerprint` of each model by role: its content, wherever it lies."""
    rounds: list[Round]
    """The rounds as planned."""

    def publish(self, storage: LocalStorage) -> None:
        """Create RUN.json, or find the same there."""
        _create_same(storage, f"runs/{self.name}/RUN.json", self)

    def finish_round(self, storage: LocalStorage, round: Round) -> None:
        """Create the round's document: everything it names is committed."""
        _create_same(storage, _round_key(self.name, round.round), round)

    def finished_rounds(self, storage: LocalStorage) -> list[Round]:
        """Return the planned rounds whose document stands; DamagedError if one was edited."""
        return [round for round in self.rounds if self.has_finished(storage, round)]

    def has_finished(self, storage: LocalStorage, round: Round) -> bool:
        """Return whether the round's document stands; DamagedError if it was edited."""
        key = _round_key(self.name, round.round)
        data = storage.read(key)
        if data not in (None, sealed_json(round)):
            raise DamagedError(
                f"{storage.path(key)}: the whole file: is not the round that RUN.json plans. It "
                "was edited, or moved; delete it and run the same command again."
            )
        return data is not None


def load_run(storage: LocalStorage, name: str) -> Run | None:
    """Return the run called `name`, or None if there is none; DamagedError if it was edited."""
    key = f"runs/{name}/RUN.json"
    data = storage.read(key)
    if data is None:
        return None
    run = parsed(Run, data, str(storage.path(key)))
    if run.name != name:
        raise DamagedError(
            f"{storage.path(key)}: name: says {shortened(run.name)}, not {name}. It was edited, or "
            "moved; bring the original back."
        )
    return run


def all_runs(storage: LocalStorage) -> list[Run]:
    """Return every run of the workspace, by name."""
    runs = [load_run(storage, name) for name in storage.names("runs")]
    return [run for run in runs if run is not None]


def _round_key(name: str, round: int) -> str:
    return f"runs/{name}/round-{round:03d}.json"


def _create_same(storage: LocalStorage, key: str, document: BaseModel) -> None:
    data = sealed_json(document)
    if not storage.create(key, data) and storage.read(key) != data:
        raise ConflictError(f"{storage.path(key)}: another run of this name stands there")


class Attempt(BaseModel):
    """One process that worked on a run. For people: no decision rests on it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    flow_run: str
    """Id of the Prefect flow run."""
    host: str
    pid: int
    started: float
    """When the process began, in seconds since 1970 by its own machine's clock."""

    def publish(self, storage: LocalStorage, run: str) -> None:
        """Create the attempt's document."""
        key = f"runs/{run}/attempts/{self.flow_run}.json"
        storage.create(key, sealed_json(self))


def attempts(storage: LocalStorage, run: str) -> list[Attempt]:
    """Return the attempts at a run, the earliest first; DamagedError if one was edited."""
    names = storage.names(f"runs/{run}/attempts")
    keys = [f"runs/{run}/attempts/{name}" for name in names if name.endswith(".json")]
    found = [parsed(Attempt, storage.read(key) or b"", str(storage.path(key))) for key in keys]
    return sorted(found, key=lambda attempt: attempt.started)
