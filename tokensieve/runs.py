"""Runs: which artifacts each round of a run uses and makes, and how the round ended.

    runs/<name>/RUN.json               created before the work: settings, inputs, models, corpora
               /round-000-plan.json    created before the round: the ids of its artifacts
               /round-000.json         created when all of them are committed: the outcome
               /arms/<arm>-<seed>.json created when an arm of a comparison is evaluated
               /attempts/<id>.json     who worked on it; for people

The ids of a round are known before its work is done, because an id hashes a plan and not a result.
A one-shot clean is round 0; a round of an evolving reference is planned when the one before ended.
"""

from collections.abc import Iterator
from difflib import get_close_matches
from typing import Any

from pydantic import BaseModel, ConfigDict

from tokensieve.artifact import Artifact, load_artifact
from tokensieve.documents import parsed, sealed_json
from tokensieve.errors import ConflictError, DamagedError, SettingsError, shortened
from tokensieve.storage import Storage

_MAX_DIGITS = 10
"""Of the number of a round, as somebody types it."""


class _Document(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Round(_Document):
    """The artifacts of one turn of score, select and train."""

    round: int
    corpus: str
    """Id of the corpus."""
    scores: dict[str, str]
    """Id of the scores by role: `base`, `reference`."""
    selection: str
    """Id of the selection."""
    trained_corpus: str | None = None
    """Id of the corpus that the model is trained on, if it is another."""
    trained_selection: str | None = None
    """Id of its selection."""
    model: str | None = None
    """Id of the model that is trained on the selection, or on that other one."""

    def names(self) -> dict[str, tuple[str, str]]:
        """Return kind and id of each artifact by step name, in the order in which they are made."""
        named = {"corpus": ("corpora", self.corpus)}
        named |= {f"scores.{role}": ("scores", id) for role, id in self.scores.items()}
        named |= {"selection": ("selections", self.selection)}
        if self.trained_corpus and self.trained_selection:
            named["model.corpus"] = ("corpora", self.trained_corpus)
            named["model.selection"] = ("selections", self.trained_selection)
        return named | ({"model": ("models", self.model)} if self.model else {})

    def artifacts(self, storage: Storage) -> dict[str, Artifact]:
        """Return the declared artifacts by step name, in the order in which they are made."""
        return {step: load_artifact(storage, *name) for step, name in self.names().items()}


class Outcome(_Document):
    """What became of the model that a round trained."""

    promoted: bool
    """Whether it takes the place of the former one from now on; if not, that one stays."""
    reason: str
    loss_before: float | None
    """Held-out loss of the former model in nats per token. Unset: nothing is held out."""
    loss_after: float | None
    """Held-out loss of the new model."""


class FinishedRound(_Document):
    """A round whose artifacts are committed."""

    round: Round
    outcome: Outcome | None
    """Unset: it trained no model."""


class Arm(_Document):
    """One arm of a comparison, trained with one seed and evaluated."""

    arm: str
    seed: int
    selections: list[str]
    """Ids; several where the arm goes in rounds."""
    models: list[str]
    """Ids; the last one was evaluated."""
    loss: float
    """Held-out loss in nats per token."""
    exact_match: float | None
    tasks: dict[str, float]
    """Value of each lm-eval task and metric."""
    lower_is_better: list[str] = []
    """Those of them of which a lower one is better."""
    kept_share: float
    forward_passes: float
    """What selecting and training cost, in forward passes over the corpus."""


class Run(_Document):
    """One run: what was asked for, of what, and how many rounds it has at most."""

    name: str
    flow: str
    """`clean`, `train`, `evolve`, `harden` or `compare`."""
    settings: dict[str, Any]
    """The settings that decide the result, as JSON values."""
    inputs: list[dict[str, Any]]
    """Name, source, format, num_bytes and sha256 of each input file."""
    models: dict[str, dict[str, str]]
    """`fingerprint` of each model by role: its content, wherever it lies."""
    corpora: dict[str, str]
    """Id of each corpus made of input files, by role: `drop`, `warmup`, `holdout`, `harmful`."""
    num_rounds: int

    def publish(self, storage: Storage) -> None:
        """Create RUN.json, or find the same there."""
        _create_same(storage, f"{self._key}/RUN.json", self)

    def begin_round(self, storage: Storage, round: Round) -> None:
        """Create the round's plan, or find the same there."""
        _create_same(storage, f"{self._round_key(round.round)}-plan.json", round)

    def finish_round(self, storage: Storage, round: Round, outcome: Outcome | None = None) -> None:
        """Create the round's document: everything it names is committed."""
        finished = FinishedRound(round=round, outcome=outcome)
        _create_same(storage, f"{self._round_key(round.round)}.json", finished)

    def planned_rounds(self, storage: Storage) -> list[Round]:
        """Return the rounds that were begun, in order; DamagedError if a plan was edited."""
        return list(self._documents(storage, Round, "-plan"))

    def finished_rounds(self, storage: Storage) -> list[FinishedRound]:
        """Return the finished rounds in order; DamagedError if one is not what was planned."""
        finished = list(self._documents(storage, FinishedRound, ""))
        for each, planned in zip(finished, self.planned_rounds(storage), strict=False):
            if each.round != planned:
                key = self._round_key(planned.round)
                raise DamagedError(
                    f"{storage.place(key)}.json: the whole file: is not the round that "
                    f"round-{planned.round:03d}-plan.json plans. It was edited, or moved; delete "
                    "it and run the same command again."
                )
        return finished

    @property
    def planned_arms(self) -> list[tuple[str, int]]:
        """Return arm and seed of each arm of a comparison, in the order of the settings."""
        arms, seeds = self.settings.get("arms", []), self.settings.get("seeds", [])
        return [(arm, seed) for arm in arms for seed in seeds]

    def is_finished(self, storage: Storage) -> bool:
        """Return whether every round and arm it can have is finished, or it was stopped."""
        if self.stopped(storage):
            return True
        has_rounds = len(self.finished_rounds(storage)) == self.num_rounds
        return has_rounds and len(self.finished_arms(storage)) == len(self.planned_arms)

    def stop(self, storage: Storage, reason: str) -> None:
        """Record that no further round will be done, and why."""
        _create_same(storage, f"{self._key}/STOPPED.json", _Stopped(reason=reason))

    def stopped(self, storage: Storage) -> str:
        """Return why the run was stopped before its last round; empty if it was not."""
        key = f"{self._key}/STOPPED.json"
        data = storage.read(key)
        return "" if data is None else parsed(_Stopped, data, storage.place(key)).reason

    def finish_arm(self, storage: Storage, arm: Arm) -> None:
        """Create the arm's document: everything it names is committed."""
        _create_same(storage, self._arm_key(arm.arm, arm.seed), arm)

    def finished_arm(self, storage: Storage, arm: str, seed: int) -> Arm | None:
        """Return the arm's document, or None if it is not finished."""
        key = self._arm_key(arm, seed)
        data = storage.read(key)
        return None if data is None else parsed(Arm, data, storage.place(key))

    def finished_arms(self, storage: Storage) -> list[Arm]:
        """Return the arms that are finished, in the order of their settings."""
        found = [self.finished_arm(storage, arm, seed) for arm, seed in self.planned_arms]
        return [arm for arm in found if arm is not None]

    @property
    def _key(self) -> str:
        return f"runs/{self.name}"

    def _round_key(self, round: int) -> str:
        return f"{self._key}/round-{round:03d}"

    def _arm_key(self, arm: str, seed: int) -> str:
        return f"{self._key}/arms/{arm.replace('@', '-at-')}-{seed}.json"

    def _documents(self, storage: Storage, model: type[Any], ending: str) -> Iterator[Any]:
        """Yield the documents of the rounds until the first that is not there."""
        for number in range(self.num_rounds):
            key = f"{self._round_key(number)}{ending}.json"
            data = storage.read(key)
            if data is None:
                return
            yield parsed(model, data, storage.place(key))


class _Stopped(_Document):
    """Why a run ends before its last round."""

    reason: str


def load_run(storage: Storage, name: str) -> Run | None:
    """Return the run called `name`, or None if there is none; DamagedError if it was edited."""
    key = f"runs/{name}/RUN.json"
    data = storage.read(key)
    if data is None:
        return None
    run = parsed(Run, data, storage.place(key))
    if run.name != name:
        raise DamagedError(
            f"{storage.place(key)}: name: says {shortened(run.name)}, not {name}. It was edited, "
            "or moved; bring the original back."
        )
    return run


def named_run(storage: Storage, name: str) -> Run:
    """Return the run called `name`; raise SettingsError with the nearest name if there is none."""
    names = storage.names("runs")
    run = load_run(storage, name) if name in names else None
    if run is not None:
        return run
    near = get_close_matches(name, names)
    hint = f"Did you mean {', '.join(near)}?" if near else "`tokensieve status` lists all."
    raise SettingsError(f"{storage}: there is no run called {shortened(name)}. {hint}")


def run_and_round(flag: str, text: str) -> tuple[str, int | None]:
    """Return what RUN or RUN:ROUND names; None: no round. Raises SettingsError naming the flag."""
    run, colon, digits = text.partition(":")
    if colon and not (digits.isascii() and digits.isdecimal() and len(digits) < _MAX_DIGITS):
        raise SettingsError(f"{flag}: {shortened(text)} is not of the form RUN or RUN:ROUND.")
    return run, int(digits) if colon else None


def all_runs(storage: Storage) -> list[Run]:
    """Return every run of the workspace, by name."""
    runs = [load_run(storage, name) for name in storage.names("runs")]
    return [run for run in runs if run is not None]


def _create_same(storage: Storage, key: str, document: BaseModel) -> None:
    data = sealed_json(document)
    if not storage.create(key, data) and storage.read(key) != data:
        raise ConflictError(
            f"{storage.place(key)}: stands there with other content than this run gives it. Was it "
            "edited, or written by another version? Move the run's directory away and run again."
        )


class Attempt(_Document):
    """One process that worked on a run. For people: no decision rests on it."""

    flow_run: str
    """Id of the Prefect flow run."""
    host: str
    pid: int
    started: float
    """When the process began, in seconds since 1970 by its own machine's clock."""

    def publish(self, storage: Storage, run: str) -> None:
        """Create the attempt's document."""
        key = f"runs/{run}/attempts/{self.flow_run}.json"
        storage.create(key, sealed_json(self))


def attempts(storage: Storage, run: str) -> list[Attempt]:
    """Return the attempts at a run, the earliest first; DamagedError if one was edited."""
    names = storage.names(f"runs/{run}/attempts")
    keys = [f"runs/{run}/attempts/{name}" for name in names if name.endswith(".json")]
    found = [parsed(Attempt, storage.read(key) or b"", storage.place(key)) for key in keys]
    return sorted(found, key=lambda attempt: attempt.started)
