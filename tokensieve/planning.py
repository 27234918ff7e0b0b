"""Plan a cleaning run: every artifact it will use or make, named before any of the work is done."""

from dataclasses import asdict, dataclass
from typing import Any

from tokensieve.artifact import CODE_VERSION, Artifact, content_id
from tokensieve.errors import SettingsError
from tokensieve.ingest import Inventory, take_inventory
from tokensieve.methods import find_method
from tokensieve.models import (
    check_model_directory,
    check_same_tokenizer,
    load_tokenizer,
    model_fingerprint,
    resolved_dtype,
    tokenizer_fingerprint,
)
from tokensieve.runs import Round, Run
from tokensieve.settings import CleanSettings
from tokensieve.storage import LocalStorage
from tokensieve.templates import load_template


@dataclass(frozen=True)
class ModelSpec:
    """A model to load, and the content it must have."""

    path: str
    fingerprint: str
    dtype: str
    device: str
    """`cpu` or `gpu`: the last bits of its scores, and how batches are cut, depend on it."""


@dataclass(frozen=True)
class CleanPlan:
    """What one run does, in the order in which it does it."""

    settings: CleanSettings
    inventory: Inventory
    models: dict[str, ModelSpec]
    """By role; only those that the method needs."""
    corpus: Artifact
    scores: dict[str, Artifact]
    selection: Artifact
    run: Run

    @property
    def storage(self) -> LocalStorage:
        """Return the workspace."""
        return self.corpus.storage

    @property
    def artifacts(self) -> dict[str, Artifact]:
        """Return every artifact by step, in order."""
        scores = {f"score {role}": artifact for role, artifact in self.scores.items()}
        return {"make corpus": self.corpus, **scores, "select tokens": self.selection}

    def declare(self) -> None:
        """Publish the plans of the run and of its artifacts, so that status can speak of them."""
        self.storage.probe()
        for artifact in self.artifacts.values():
            artifact.declare()
        self.run.publish(self.storage)


def plan_clean(settings: CleanSettings, on_gpu: bool) -> CleanPlan:
    """Return the plan of `settings`; check everything that can be checked without a forward pass.

    Nothing is written. Raises SettingsError and InputError.
    """
    storage = LocalStorage(settings.workspace)
    models = _models(settings, on_gpu)
    inventory = take_inventory(settings.files, settings.corpus.split)
    corpus = Artifact(storage, "corpora", _corpus_plan(settings, inventory))
    scores = {role: _scores(corpus, settings, model) for role, model in models.items()}
    selection = _selection(corpus, scores, settings)
    run = _run(settings, inventory, models, (corpus, scores, selection))
    return CleanPlan(settings, inventory, models, corpus, scores, selection, run)


def _models(settings: CleanSettings, on_gpu: bool) -> dict[str, ModelSpec]:
    """Return the models that the method needs, checked to belong together."""
    method = find_method(settings.selection.method)
    given = {"base": settings.base, "reference": settings.reference}
    missing = [role for role in method.roles if given[role] is None]
    if missing:
        raise SettingsError(f"--{missing[0]}: the method {method.name} needs this model")
    paths = {role: path for role, path in given.items() if path and role in {"base", *method.roles}}
    for path in paths.values():
        check_model_directory(path)
    if "reference" in paths:
        own_template = settings.corpus.template == "model"
        check_same_tokenizer(paths["base"], paths["reference"], own_template)
    dtype, device = resolved_dtype(settings.scoring.dtype, on_gpu), "gpu" if on_gpu else "cpu"
    specs = {
        role: ModelSpec(paths[role], model_fingerprint(paths[role]), dtype, device)
        for role in method.roles
    }
    if len(specs) > len({spec.fingerprint for spec in specs.values()}):
        raise SettingsError(
            "--reference: is the same model as the base; every influence would be 0"
        )
    return specs


def _corpus_plan(settings: CleanSettings, inventory: Inventory) -> dict[str, Any]:
    tokenizer = load_tokenizer(settings.base)
    template = load_template(settings.corpus.template, tokenizer)
    return {
        "kind": "corpora",
        "code": CODE_VERSION,
        "num_shards": len(inventory.shards),
        "inputs": _inputs(inventory),
        "sharding": content_id({"shards": [[asdict(p) for p in s] for s in inventory.shards]}),
        "tokenizer": tokenizer_fingerprint(tokenizer, with_chat_template=False),
        "template": {"name": template.name, "fingerprint": template.fingerprint},
        "max_length": settings.corpus.max_length,
    }


def _scores(corpus: Artifact, settings: CleanSettings, model: ModelSpec) -> Artifact:
    plan = {
        "kind": "scores",
        "code": CODE_VERSION,
        "num_shards": corpus.num_shards,
        "corpus": corpus.id,
        "model": model.fingerprint,
        "dtype": model.dtype,
        "device": model.device,
        "batch_tokens": settings.scoring.batch_tokens,
        "columns": ["nll", "entropy"],
    }
    return Artifact(corpus.storage, "scores", plan)


def _selection(corpus: Artifact, scores: dict[str, Artifact], settings: CleanSettings) -> Artifact:
    """Return the selection. What the method does not look at is not part of its identity."""
    selection, method = settings.selection, find_method(settings.selection.method)
    plan = {
        "kind": "selections",
        "code": CODE_VERSION,
        "num_shards": corpus.num_shards,
        "corpus": corpus.id,
        "scores": {role: artifact.id for role, artifact in scores.items()},
        "method": method.name,
        "keep": selection.keep,
        "scope": selection.scope or method.default_scope,
        "seed": selection.seed,
        "keep_empty": selection.keep_empty,
    }
    return Artifact(corpus.storage, "selections", plan)


def _run(
    settings: CleanSettings,
    inventory: Inventory,
    models: dict[str, ModelSpec],
    made: tuple[Artifact, dict[str, Artifact], Artifact],
) -> Run:
    """Return the run, named after what it does and makes: the same command, the same run."""
    corpus, scores, selection = made
    round = Round(
        round=0,
        corpus=corpus.id,
        scores={role: artifact.id for role, artifact in scores.items()},
        selection=selection.id,
    )
    return Run(
        name=f"{settings.selection.method}-{selection.id[:8]}",
        settings={key: selection.plan[key] for key in ("method", "keep", "scope", "seed")},
        inputs=_inputs(inventory),
        models={role: {"fingerprint": model.fingerprint} for role, model in models.items()},
        rounds=[round],
    )


def _inputs(inventory: Inventory) -> list[dict[str, Any]]:
    """Return what identifies the input files: their content and name, not where they lie."""
    return [
        {"name": f.name, "format": f.format, "num_bytes": f.num_bytes, "sha256": f.sha256}
        for f in inventory.files
    ]
