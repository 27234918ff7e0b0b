"""Plan the visit of a drop: which of its files are new, and how these are cleaned."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tokensieve.artifact import Artifact, load_artifact
from tokensieve.documents import content_id
from tokensieve.drops import (
    Drop,
    FileLook,
    Log,
    Look,
    State,
    VisitedFile,
    check_location,
    look_at,
    looks,
    read_log,
)
from tokensieve.errors import InputError
from tokensieve.ingest import inventory_of
from tokensieve.ingest.directories import SUCCESS, FoundFile, find_files
from tokensieve.ingest.opening import open_regular, reading
from tokensieve.methods import chosen_method
from tokensieve.planning.clean import CleanPlan, check_cleaning_given, cleaning_of
from tokensieve.planning.evidence import given_max_length, given_models
from tokensieve.planning.models import base_place
from tokensieve.planning.steps import CorpusStep, corpus_of, without_seen
from tokensieve.planning.train import find_selection
from tokensieve.runs import Run
from tokensieve.settings import CleanDropsSettings
from tokensieve.storage import Storage, open_storage

_REFIT = "refit"
"""The setting with which each drop has thresholds of its own."""


@dataclass(frozen=True)
class VisitPlan:
    """What is done about a drop."""

    storage: Storage
    drop: Drop
    files: tuple[VisitedFile, ...]
    """Those that are read of it."""
    log: Log
    cleaning: CleanPlan | None
    """Of the new files. Unset: none is new."""

    @property
    def earlier_runs(self) -> list[str]:
        """Return the runs that cleaned earlier drops in the same way, the earliest first."""
        return [] if self.cleaning is None else self.log.runs(way_of(self.cleaning.run))

    def look(self, state: State, detail: str = "") -> Look:
        """Return what there is to note of the drop."""
        hashes = {file.name: file.sha256 for file in self.files}
        files = {
            name: FileLook(
                num_bytes=entry.num_bytes, version=entry.version, sha256=hashes.get(name)
            )
            for name, entry in self.drop.data.items()
        }
        return Look(state=state, detail=detail, files=files)


def plan_visit(settings: CleanDropsSettings, name: str, on_gpu: bool) -> VisitPlan:
    """Return what is done about the drop of this name. Nothing is written.

    A file that has changed since it was seen last is read once for its hash, and if that is new
    once more. Raises SettingsError and InputError, also if the drop changes meanwhile.
    """
    storage = open_storage(settings.workspace, settings.s3)
    log, drop = read_log(storage), look_at(settings.location, name, settings.s3)
    found, warnings = find_files([drop.place], settings.corpus.split, settings.s3)
    before = looks(storage).get(name, Look(state="waiting"))
    files = tuple(_visited(drop, found, before, log.known))
    if look_at(settings.location, name, settings.s3) != drop:
        raise InputError(
            f"{drop.place}: changed while it was looked at. It is looked at again; let its writer "
            f"end with a file {SUCCESS}, or raise quiet_minutes."
        )
    fresh = [each for each, file in zip(found, files, strict=True) if file.is_new]
    if not fresh:
        return VisitPlan(storage, drop, files, log, None)
    cleaning = _cleaning(settings, drop, log, _Found(fresh, warnings), on_gpu)
    return VisitPlan(storage, drop, files, log, cleaning)


def way_of(run: Run) -> str:
    """Return a hash of how a run cleaned: with which settings and models."""
    return content_id({"settings": run.settings, "models": run.models})


def check_drops_given(settings: CleanDropsSettings) -> None:
    """Raise what `plan_visit` would raise of any drop, as far as a second of looking can tell."""
    check_cleaning_given(settings)
    check_location(settings.location, settings.workspace)
    if settings.thresholds != _REFIT:
        find_selection(open_storage(settings.workspace, settings.s3), settings.thresholds)


@dataclass(frozen=True)
class _Found:
    files: Sequence[FoundFile]
    warnings: Sequence[str]


def _visited(
    drop: Drop, found: Sequence[FoundFile], before: Look, known: set[str]
) -> Iterator[VisitedFile]:
    """Yield the files with their hashes, of which those that are known from before are kept."""
    for file in found:
        name = str(file.path)[len(drop.place) :].strip("/")
        entry, seen = drop.data[name], before.files.get(name)
        sha256 = None
        if seen and (seen.num_bytes, seen.version) == (entry.num_bytes, entry.version):
            sha256 = seen.sha256
        sha256 = sha256 or _sha256(file)
        yield VisitedFile(
            name=name, num_bytes=entry.num_bytes, sha256=sha256, is_new=sha256 not in known
        )


def _sha256(file: FoundFile) -> str:
    with open_regular(file.path) as opened, reading(file.path):
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _cleaning(
    settings: CleanDropsSettings, drop: Drop, log: Log, found: _Found, on_gpu: bool
) -> CleanPlan:
    """Return how new files are cleaned, without the samples that earlier ones held."""
    models = given_models(settings, [chosen_method(settings.selection)], on_gpu)
    corpus = _corpus(settings, log, found)
    frozen = None
    if settings.thresholds != _REFIT:
        frozen = find_selection(corpus.artifact.storage, settings.thresholds)
    return cleaning_of(settings, corpus, models, frozen, drop.name)


def _corpus(settings: CleanDropsSettings, log: Log, found: _Found) -> CorpusStep:
    storage = open_storage(settings.workspace, settings.s3)
    corpus = corpus_of(
        storage,
        inventory_of(found.files, found.warnings),
        base_place(settings),
        settings.corpus,
        given_max_length(settings, [chosen_method(settings.selection)]),
        settings.cluster,
    )
    return without_seen(corpus, tuple(_earlier(storage, log)))


def _earlier(storage: Storage, log: Log) -> Iterator[Artifact]:
    """Yield the corpora of earlier visits, without those of runs that were forgotten since."""
    for id in log.corpora:
        if storage.exists(f"corpora/{id}/COMMIT.json"):
            yield load_artifact(storage, "corpora", id)
