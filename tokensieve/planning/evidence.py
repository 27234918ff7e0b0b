"""What methods look at: by which models a corpus is scored, which columns, and what else is made.

A role says what a model is to a method. Of one model and corpus all columns that any chosen method
needs are collected in one pass, and none that no method needs.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from tokensieve.artifact import CODE_VERSION, Artifact
from tokensieve.errors import SettingsError
from tokensieve.ingest.directories import one_file
from tokensieve.ingest.opening import Place, content_of, open_regular
from tokensieve.methods import Method
from tokensieve.methods.method import CURRENT
from tokensieve.models import ModelPlace, check_model_directory
from tokensieve.planning.models import (
    ModelSpec,
    check_different,
    check_pair,
    max_length,
    model_spec,
)
from tokensieve.planning.steps import (
    SCORE_COLUMNS,
    PlantedScores,
    ScoringStep,
    looks_at_attention,
    scoring_step,
)
from tokensieve.scoring import COLUMNS
from tokensieve.settings import (
    ArmsSettings,
    ClusterSettings,
    EvolveSettings,
    ExternalSettings,
    ScoredSettings,
    ScoringSettings,
)
from tokensieve.sieve.copies import PLANTING

EXTERNAL = "external"
"""Role of numbers that were made elsewhere."""
_MODELS = ("base", "reference", "harmful", "bottleneck")
"""Roles of models, and the settings that name them."""


@dataclass(frozen=True)
class Scorer:
    """How models are run over a corpus."""

    models: Mapping[str, ModelSpec]
    """By role: `base`, `reference`, `harmful`, `bottleneck`, as far as given."""
    settings: ScoringSettings
    cluster: ClusterSettings
    external: Place | None = None
    """File of numbers that were made elsewhere."""


@dataclass(frozen=True)
class ExternalStep:
    """Take the numbers of a file as scores of a corpus."""

    artifact: Artifact
    corpus: Artifact
    file: Place


@dataclass(frozen=True)
class PlantStep:
    """Copy samples of a corpus, and plant noise into the copy."""

    artifact: Artifact
    corpus: Artifact


@dataclass(frozen=True)
class EvidencePlan:
    """Everything that is made for the methods to look at, in order."""

    plant: PlantStep | None
    scorings: tuple[ScoringStep, ...]
    """Of the corpus, and of its planted copy."""
    external: ExternalStep | None
    corpus: Artifact

    @property
    def scores(self) -> dict[str, Artifact]:
        """Return the scores of the corpus by role."""
        return self._of(self.corpus) | (
            {EXTERNAL: self.external.artifact} if self.external is not None else {}
        )

    @property
    def planted(self) -> PlantedScores | None:
        """Return the planted copy and its scores."""
        if self.plant is None:
            return None
        return PlantedScores(self.plant.artifact, self._of(self.plant.artifact))

    @property
    def artifacts(self) -> dict[str, Artifact]:
        """Return every artifact by step, in order."""
        made = {"plant noise": self.plant.artifact} if self.plant is not None else {}
        for step in self.scorings:
            where = "" if step.corpus.id == self.corpus.id else " on planted noise"
            made[f"score {step.role}{where}"] = step.artifact
        if self.external is not None:
            made["read external scores"] = self.external.artifact
        return made

    def _of(self, corpus: Artifact) -> dict[str, Artifact]:
        return {step.role: step.artifact for step in self.scorings if step.corpus.id == corpus.id}


def models_of(methods: Iterable[Method]) -> list[str]:
    """Return the roles of the models that the methods look at, each once."""
    roles = [role for method in methods for role in method.roles if role != EXTERNAL]
    roles += ["base" for method in methods if method.embeds]
    return list(dict.fromkeys(roles))


def given_places(settings: ScoredSettings, methods: list[Method]) -> dict[str, ModelPlace]:
    """Return where the models that the methods look at lie, and the base; each looked through.
    Raises SettingsError if one is not given, InputError if it cannot be used.
    """
    given = {role: getattr(settings, role) for role in _MODELS}
    needed = models_of(methods)
    if isinstance(settings, ArmsSettings) and settings.reference is None:
        needed = [name for name in needed if name != "reference"]  # it makes its own
    for name in needed:
        if given[name] is None:
            [method, *_] = [each.name for each in methods if name in models_of([each])]
            raise SettingsError(f"--{name}: the method {method} needs this model")
    if any(EXTERNAL in method.roles for method in methods):
        open_regular(_external_file(settings)).close()
    names = dict.fromkeys(["base", *needed])
    places = {name: ModelPlace(given[name], settings.s3) for name in names}
    for place in places.values():
        check_model_directory(place.path)
    return places


def given_models(
    settings: ScoredSettings, methods: list[Method], on_gpu: bool
) -> dict[str, ModelSpec]:
    """Return the models that the methods look at by name, checked to belong together."""
    places, dtype = given_places(settings, methods), settings.scoring.dtype
    for name in places.keys() - {"base"}:
        check_pair(places["base"], places[name], settings.corpus.template)
    needed = [name for name in models_of(methods) if name in places]
    specs = {name: model_spec(places[name], dtype, on_gpu) for name in needed}
    check_compared(methods, specs)
    return specs


def check_compared(methods: Iterable[Method], models: Mapping[str, ModelSpec]) -> None:
    """Raise SettingsError if a method sets the scores of one model against themselves."""
    pairs = {pair: None for method in methods for pair in method.compared_roles}
    for first, second in pairs:
        if first in models and second in models:
            check_different(first, models[first], second, models[second])


def given_max_length(settings: ScoredSettings, methods: Iterable[Method]) -> int:
    """Return how many tokens of a sample are kept: what the base and every model that the methods
    look at was made for.
    """
    needed = dict.fromkeys(["base", *models_of(methods)])
    given = [getattr(settings, role) for role in needed]
    places = [ModelPlace(address, settings.s3) for address in given if address]
    return max_length(settings.corpus.max_length, places)


def unused_lines(settings: ScoredSettings, methods: list[Method]) -> list[str]:
    """Return a line for each model or file that is given and that none of the methods looks at."""
    used = {"base", *models_of(methods), *(role for each in methods for role in each.roles)}
    given = [role for role in (*_MODELS, EXTERNAL) if getattr(settings, role, None) is not None]
    names = ", ".join(dict.fromkeys(method.name for method in methods))
    return [f"--{role}: is not looked at by {names}" for role in given if role not in used]


def scorer_of(settings: ScoredSettings | EvolveSettings, models: Mapping[str, ModelSpec]) -> Scorer:
    """Return how the settings have models run over a corpus."""
    given = isinstance(settings, ExternalSettings) and settings.external is not None
    external = _external_file(settings) if given else None
    return Scorer(models, settings.scoring, settings.cluster, external)


def columns_of(methods: Iterable[Method]) -> dict[str, tuple[str, ...]]:
    """Return the columns of each role that any of the methods needs, in the order of COLUMNS."""
    wanted: dict[str, set[str]] = {}
    for method in methods:
        for role, names in method.columns.items():
            if role != CURRENT:
                wanted.setdefault(role, set(SCORE_COLUMNS)).update(names)
    return {
        role: tuple(name for name in COLUMNS if name in names) for role, names in wanted.items()
    }


def decisive_evidence(
    settings: ScoredSettings | EvolveSettings, methods: list[Method]
) -> dict[str, str | int]:
    """Return what of the settings decides what the methods see, beside models and batches: the
    layer of attention, and the content of a file of numbers.
    """
    columns = {name for each in methods for names in each.columns.values() for name in names}
    decisive: dict[str, str | int] = {}
    if looks_at_attention(columns):
        decisive["attention_layer"] = settings.scoring.attention_layer
    if any(EXTERNAL in method.roles for method in methods):
        _, decisive[EXTERNAL] = content_of(_external_file(settings))
    return decisive


def plan_evidence(methods: list[Method], corpus: Artifact, scorer: Scorer) -> EvidencePlan:
    """Return what is made for these methods of this corpus. The corpus need not be there yet."""
    columns = columns_of(methods)
    external = columns.pop(EXTERNAL, None)
    scorings = [_scoring(role, names, corpus, scorer) for role, names in columns.items()]
    planters = [planter for method in methods for planter in method.planters]
    plant = _plant_step(corpus) if planters else None
    if plant is not None:
        wanted = columns_of(planters).items()
        scorings += [_scoring(role, names, plant.artifact, scorer) for role, names in wanted]
    made_elsewhere = _external_step(corpus, scorer) if external is not None else None
    return EvidencePlan(plant, tuple(scorings), made_elsewhere, corpus)


def _scoring(role: str, columns: tuple[str, ...], corpus: Artifact, scorer: Scorer) -> ScoringStep:
    model = scorer.models[role]
    return scoring_step(corpus, role, model, scorer.settings, scorer.cluster, columns)


def _plant_step(corpus: Artifact) -> PlantStep:
    plan = {
        "kind": "corpora",
        "code": CODE_VERSION,
        "num_shards": corpus.num_shards,
        "planted": corpus.id,
        "planting": PLANTING,
    }
    return PlantStep(Artifact(corpus.storage, "corpora", plan), corpus)


def _external_step(corpus: Artifact, scorer: Scorer) -> ExternalStep:
    assert scorer.external is not None, "checked with what is given"
    _, sha256 = content_of(scorer.external)
    plan = {
        "kind": "scores",
        "code": CODE_VERSION,
        "num_shards": corpus.num_shards,
        "corpus": corpus.id,
        "file": sha256,
    }
    return ExternalStep(Artifact(corpus.storage, "scores", plan), corpus, scorer.external)


def _external_file(settings: ScoredSettings | EvolveSettings) -> Place:
    if not isinstance(settings, ExternalSettings) or settings.external is None:
        raise SettingsError(
            "--external: the method external needs a Parquet file of sample_id and numbers"
        )
    return one_file(settings.external, settings.s3)
