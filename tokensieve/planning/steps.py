"""The steps that runs are made of: what each one makes, from what, under which settings.

A step names its artifact before any of the work is done. What does not change the numbers is not
part of the name: where models lie, how many workers there are.
"""

from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from typing import Any

from tokensieve.artifact import CODE_VERSION, Artifact
from tokensieve.documents import content_id
from tokensieve.evaluation import tasks_identity
from tokensieve.ingest import Inventory, take_inventory
from tokensieve.ingest.directories import find_files
from tokensieve.methods import Method, chosen_method
from tokensieve.methods.method import CURRENT
from tokensieve.models import ModelPlace, load_tokenizer, resolved_dtype, tokenizer_fingerprint
from tokensieve.planning.models import ModelSpec, base_place
from tokensieve.ranking import Rule
from tokensieve.scoring import ATTENTION_COLUMNS, device_batch_tokens
from tokensieve.settings import (
    ClusterSettings,
    CompareSettings,
    CorpusSettings,
    DropSettings,
    EvaluationSettings,
    EvolveSettings,
    PolicySettings,
    Scope,
    ScoringSettings,
    SelectionSettings,
    TrainingSettings,
)
from tokensieve.settings.runs import HUB
from tokensieve.storage import Storage, open_storage
from tokensieve.templates import load_template

SCORE_COLUMNS = ("nll", "entropy")
"""What every pass collects: it costs next to nothing, and is asked for first."""
_INPUT_KEYS = ("name", "source", "format", "num_bytes", "sha256")
CPU_BATCH_TOKENS = 2048
"""Tokens of a training pass on a CPU: more is slower, and takes more memory."""
_NO_NUMBERS = {"checkpoint_minutes"}
"""Settings of training that leave its result as it is."""


@dataclass(frozen=True)
class CorpusStep:
    """Make a corpus of input files."""

    artifact: Artifact
    inventory: Inventory
    base: ModelPlace
    """The model whose tokenizer and template are used."""
    settings: CorpusSettings
    cluster: ClusterSettings
    earlier: tuple[Artifact, ...] = ()
    """Committed corpora; samples that one of them holds are skipped."""

    @property
    def inputs(self) -> list[dict[str, Any]]:
        """Return what identifies the input files: their content and name, not where they lie."""
        return [{key: getattr(f, key) for key in _INPUT_KEYS} for f in self.inventory.files]

    @property
    def num_bytes(self) -> int:
        """Return the bytes of the input, decompressed."""
        return sum(piece.num_bytes for shard in self.inventory.shards for piece in shard)


@dataclass(frozen=True)
class ScoringStep:
    """Score a corpus with a model."""

    artifact: Artifact
    corpus: Artifact
    role: str
    """What the model is to the run: `base`, `reference`, `held-out`."""
    model: ModelSpec
    settings: ScoringSettings
    cluster: ClusterSettings
    columns: tuple[str, ...]
    """What is collected of each token."""


@dataclass(frozen=True)
class SelectionStep:
    """Decide the weight of every token of a corpus."""

    artifact: Artifact
    corpus: Artifact
    scores: dict[str, Artifact]
    """By role; those that the method needs."""
    settings: SelectionSettings
    planted: "PlantedScores | None"
    """Unset: the method does not look at planted noise."""
    embeddings: ModelSpec | None
    """The base. Unset: the method does not look at its embeddings."""
    frozen: Artifact | None = None
    """A selection whose thresholds hold here too. Unset: they are found in the corpus."""
    overriding: "Overriding | None" = None
    """Unset: what the method says stands."""


@dataclass(frozen=True)
class Overriding:
    """The policies that override a method."""

    settings: PolicySettings
    base: ModelPlace
    """A model with the tokenizer of the corpus."""


@dataclass(frozen=True)
class PlantedScores:
    """A copy of samples with planted noise, and what models say of it."""

    corpus: Artifact
    scores: dict[str, Artifact]
    """By role."""


@dataclass(frozen=True)
class TrainingStep:
    """Train a model on a selection."""

    artifact: Artifact
    corpus: Artifact
    selection: Artifact
    init: ModelSpec
    settings: TrainingSettings
    cluster: ClusterSettings


@dataclass(frozen=True)
class EvaluationStep:
    """Ask a trained model for answers."""

    artifact: Artifact
    corpus: Artifact
    model: ModelSpec
    settings: EvaluationSettings
    cluster: ClusterSettings


def corpus_step(
    storage: Storage,
    files: tuple[str, ...],
    base: ModelPlace,
    settings: CorpusSettings,
    max_length: int,
    cluster: ClusterSettings,
) -> CorpusStep:
    """Return how the files become a corpus; every file is read once, for its hash and its rows."""
    inventory = take_inventory(files, settings.split, base.s3)
    return corpus_of(storage, inventory, base, settings, max_length, cluster)


def corpus_of(
    storage: Storage,
    inventory: Inventory,
    base: ModelPlace,
    settings: CorpusSettings,
    max_length: int,
    cluster: ClusterSettings,
) -> CorpusStep:
    """Return how files whose inventory is taken become a corpus."""
    tokenizer = load_tokenizer(base.path)
    template = load_template(settings.template, tokenizer)
    plan = {
        "kind": "corpora",
        "code": CODE_VERSION,
        "num_shards": len(inventory.shards),
        "inputs": [{key: getattr(f, key) for key in _INPUT_KEYS} for f in inventory.files],
        "sharding": content_id({"shards": [[asdict(p) for p in s] for s in inventory.shards]}),
        "tokenizer": tokenizer_fingerprint(tokenizer, with_chat_template=False),
        "template": {"name": template.name, "fingerprint": template.fingerprint},
        "max_length": max_length,
    }
    return CorpusStep(Artifact(storage, "corpora", plan), inventory, base, settings, cluster)


def look_for_files(settings: DropSettings, files: Iterable[str]) -> None:
    """Raise InputError for files that are not there, as far as a second of looking can tell."""
    nearby = [file for file in files if not file.startswith(HUB)]
    find_files(nearby, settings.corpus.split, settings.s3)


def without_seen(step: CorpusStep, earlier: tuple[Artifact, ...]) -> CorpusStep:
    """Return the step as it skips the samples that earlier corpora hold."""
    if not earlier:
        return step
    plan = {**step.artifact.plan, "earlier": [corpus.id for corpus in earlier]}
    return replace(step, artifact=Artifact(step.artifact.storage, "corpora", plan), earlier=earlier)


def corpus_steps(settings: EvolveSettings | CompareSettings, length: int) -> dict[str, CorpusStep]:
    """Return how the files become corpora, by role: `drop`, and `warmup` and `holdout` if given."""
    files = {"drop": settings.files, "warmup": settings.warmup, "holdout": settings.holdout}
    storage, base = open_storage(settings.workspace, settings.s3), base_place(settings)
    return {
        role: corpus_step(storage, given, base, settings.corpus, length, settings.cluster)
        for role, given in files.items()
        if given
    }


def scoring_step(
    corpus: Artifact,
    role: str,
    model: ModelSpec,
    settings: ScoringSettings,
    cluster: ClusterSettings,
    columns: tuple[str, ...] = SCORE_COLUMNS,
) -> ScoringStep:
    """Return how a corpus is scored; `columns`: what is collected of each token."""
    plan: dict[str, Any] = {
        "kind": "scores",
        "code": CODE_VERSION,
        "num_shards": corpus.num_shards,
        "corpus": corpus.id,
        "model": model.fingerprint,
        "dtype": model.dtype,
        "device": model.device,
        "batch_tokens": device_batch_tokens(settings.batch_tokens, model.device == "gpu"),
        "columns": list(columns),
    }
    if looks_at_attention(columns):
        plan["attention_layer"] = settings.attention_layer
    artifact = Artifact(corpus.storage, "scores", plan)
    return ScoringStep(artifact, corpus, role, model, settings, cluster, columns)


def looks_at_attention(columns: Iterable[str]) -> bool:
    """Return whether what the columns say depends on the layer whose attention is scored."""
    return not ATTENTION_COLUMNS.keys().isdisjoint(columns)


def selection_step(
    corpus: Artifact,
    scores: dict[str, Artifact],
    settings: SelectionSettings,
    planted: PlantedScores | None = None,
    base: ModelSpec | None = None,
    attention_layer: int = ScoringSettings().attention_layer,
) -> SelectionStep:
    """Return how tokens are selected. What the method does not look at is not in the plan.

    `attention_layer`: of the model in training, for a method that looks at its attention.
    """
    method = chosen_method(settings)
    needed = {role: scores[role] for role in method.roles}
    plan = {
        "kind": "selections",
        "code": CODE_VERSION,
        "num_shards": corpus.num_shards,
        "corpus": corpus.id,
        "scores": {role: artifact.id for role, artifact in needed.items()},
        **_choice(method, settings),
    }
    if not method.plants:
        planted = None
    if planted is not None:
        roles = [role for planter in method.planters for role in planter.roles]
        plan["planted"] = {role: planted.scores[role].id for role in roles}
    embeddings = base if method.embeds else None
    if embeddings is not None:
        plan["embeddings"] = embeddings.fingerprint
    if looks_at_attention(method.columns.get(CURRENT, ())):
        plan["attention_layer"] = attention_layer
    artifact = Artifact(corpus.storage, "selections", plan)
    return SelectionStep(artifact, corpus, needed, settings, planted, embeddings)


def _choice(method: Method, settings: SelectionSettings) -> dict[str, Any]:
    """Return what decides on the tokens; None for what is of no account to the method."""
    rule = method.rule(settings)
    return {
        "method": method.name,
        "parameters": method.parameters.model_dump(mode="json"),
        "keep": rule.keep if rule.counts else None,
        "scope": _scope(method, rule, settings),
        "seed": settings.seed if method.draws else None,
        "keep_empty": settings.keep_empty,
    }


def _scope(method: Method, rule: Rule, settings: SelectionSettings) -> Scope | None:
    """Return where shares are counted; None: nowhere, or by each member in its own scope."""
    if rule.counts:
        return rule.scope
    return settings.scope if method.has_scope else None


def training_step(
    selection: Artifact,
    corpus: Artifact,
    init: ModelSpec,
    settings: TrainingSettings,
    cluster: ClusterSettings,
) -> TrainingStep:
    """Return how a model is trained. How many ranks share the work changes rounding only."""
    on_gpu = init.device == "gpu"
    precision = resolved_dtype(settings.precision, on_gpu)
    batch_tokens = settings.batch_tokens if on_gpu else min(settings.batch_tokens, CPU_BATCH_TOKENS)
    settings = settings.model_copy(update={"precision": precision, "batch_tokens": batch_tokens})
    plan = {
        "kind": "models",
        "code": CODE_VERSION,
        "num_shards": 1,
        "corpus": corpus.id,
        "selection": selection.id,
        "init": init.fingerprint,
        "companions": init.companions,
        "precision": precision,
        "device": init.device,
        "training": decisive_training(settings),
    }
    artifact = Artifact(corpus.storage, "models", plan)
    return TrainingStep(artifact, corpus, selection, init, settings, cluster)


def evaluation_step(
    corpus: Artifact, model: ModelSpec, settings: EvaluationSettings, cluster: ClusterSettings
) -> EvaluationStep:
    """Return how a model answers the prompts of a held-out corpus, and does lm-eval's tasks."""
    plan = {
        "kind": "evaluations",
        "code": CODE_VERSION,
        "num_shards": 1,
        "corpus": corpus.id,
        "model": model.fingerprint,
        "companions": model.companions,
        "dtype": model.dtype,
        "device": model.device,
        "evaluation": decisive_evaluation(settings),
    }
    artifact = Artifact(corpus.storage, "evaluations", plan)
    return EvaluationStep(artifact, corpus, model, settings, cluster)


def decisive_evaluation(settings: EvaluationSettings) -> dict[str, Any]:
    """Return the settings of evaluation that its figures depend on; of task files the content."""
    return settings.model_dump(mode="json", exclude={"task_path"}) | tasks_identity(settings)


def decisive_training(settings: TrainingSettings) -> dict[str, Any]:
    """Return the settings of training that its numbers depend on, the learning rate resolved."""
    values = settings.model_dump(mode="json", exclude=_NO_NUMBERS | {"precision"})
    if settings.tuning == "full":
        del values["lora"]
    return values | {"learning_rate": settings.peak_rate}
