"""Plan a cleaning run: every artifact it will use or make, named before any of the work is done."""

from dataclasses import asdict, dataclass
from typing import Any

from tokensieve.artifact import CODE_VERSION, Artifact
from tokensieve.documents import content_id
from tokensieve.errors import SettingsError
from tokensieve.ingest import Inventory, take_inventory
from tokensieve.ingest.directories import find_files
from tokensieve.methods import find_method
from tokensieve.models import (
    check_model_directory,
    check_same_tokenizer,
    load_tokenizer,
    model_context,
    model_fingerprint,
    resolved_dtype,
    tokenizer_fingerprint,
)
from tokensieve.runs import Round, Run
from tokensieve.scoring import device_batch_tokens
from tokensieve.settings import CleanSettings
from tokensieve.storage import LocalStorage
from tokensieve.templates import load_template

DEFAULT_MAX_LENGTH = 2048
BYTES_PER_INPUT_BYTE = 5
"""What a run writes for each byte of plain input: 4.3 on GSM8K, and some room."""
INDEX_BYTES = 32 * 2**20
"""What the index takes while it is built, beside what grows with the input."""


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
        """Publish the plans of the run and of its artifacts, so that status can speak of them.

        Raises SettingsError if the workspace cannot be used, ResourceError if it has not the room.
        """
        self.storage.probe()
        undone = self._undone_share()
        if undone:
            needed = BYTES_PER_INPUT_BYTE * undone * self._size() + INDEX_BYTES
            self.storage.check_room(round(needed))
        for artifact in self.artifacts.values():
            artifact.declare()
        self.run.publish(self.storage)

    def _undone_share(self) -> float:
        """Return the share of all shards that are still to be made."""
        artifacts = self.artifacts.values()
        num_done = sum(len(artifact.done_shards()) for artifact in artifacts)
        return 1 - num_done / sum(artifact.num_shards for artifact in artifacts)

    def _size(self) -> int:
        """Return the bytes of the input, decompressed."""
        return sum(piece.num_bytes for shard in self.inventory.shards for piece in shard)


def plan_clean(settings: CleanSettings, on_gpu: bool) -> CleanPlan:
    """Return the plan of `settings`; check everything that can be checked without a forward pass.

    Nothing is written. Raises SettingsError and InputError.
    """
    storage = LocalStorage(settings.workspace)
    models = _models(settings, on_gpu)
    max_length = _max_length(settings)
    inventory = take_inventory(settings.files, settings.corpus.split)
    corpus = Artifact(storage, "corpora", _corpus_plan(settings, inventory, max_length))
    scores = {role: _scores(corpus, settings, model) for role, model in models.items()}
    selection = _selection(corpus, scores, settings)
    run = _run(settings, inventory, models, (corpus, scores, selection))
    return CleanPlan(settings, inventory, models, corpus, scores, selection, run)


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


def _max_length(settings: CleanSettings) -> int:
    """Return how many tokens of a sample are kept: never more than a model was made for."""
    paths = [path for path in (settings.base, settings.reference) if path]
    context = min((model_context(path) for path in paths), default=DEFAULT_MAX_LENGTH)
    wanted = settings.corpus.max_length
    if wanted is not None and wanted > context:
        raise SettingsError(
            f"corpus.max_length: is {wanted}, but the models were made for {context} tokens. "
            "Lower it, or leave it out."
        )
    return wanted or min(DEFAULT_MAX_LENGTH, context)


def _corpus_plan(settings: CleanSettings, inventory: Inventory, max_length: int) -> dict[str, Any]:
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
        "max_length": max_length,
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
        "batch_tokens": device_batch_tokens(settings.scoring.batch_tokens, model.device == "gpu"),
        "columns": ["nll", "entropy"],
    }
    return Artifact(corpus.storage, "scores", plan)


def _selection(corpus: Artifact, scores: dict[str, Artifact], settings: CleanSettings) -> Artifact:
    """Return the selection. What the method does not look at is not part of its identity."""
    selection, method = settings.selection, find_method(settings.selection.method)
    counts = method.direction != "test"
    plan = {
        "kind": "selections",
        "code": CODE_VERSION,
        "num_shards": corpus.num_shards,
        "corpus": corpus.id,
        "scores": {role: artifact.id for role, artifact in scores.items()},
        "method": method.name,
        "keep": selection.keep if counts else None,
        "scope": (selection.scope or method.default_scope) if counts else None,
        "seed": selection.seed if method.draws else None,
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
        settings=_decisive(corpus, scores, selection),
        inputs=_inputs(inventory),
        models={role: {"fingerprint": model.fingerprint} for role, model in models.items()},
        rounds=[round],
    )


def _decisive(corpus: Artifact, scores: dict[str, Artifact], selection: Artifact) -> dict[str, Any]:
    """Return the settings that decide the result. Where and with how many is not among them."""
    chosen = {"template": corpus.plan["template"]["name"], "max_length": corpus.plan["max_length"]}
    for artifact in scores.values():
        chosen |= {key: artifact.plan[key] for key in ("dtype", "device", "batch_tokens")}
    keys = ("method", "keep", "scope", "seed", "keep_empty")
    return chosen | {key: selection.plan[key] for key in keys}


def _inputs(inventory: Inventory) -> list[dict[str, Any]]:
    """Return what identifies the input files: their content and name, not where they lie."""
    keys = ("name", "source", "format", "num_bytes", "sha256")
    return [{key: getattr(file, key) for key in keys} for file in inventory.files]
