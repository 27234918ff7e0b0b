"""Plan the visit of a drop: which of its files are new, and how these are cleaned."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from tokensieve.artifact import Artifact, load_artifact
from tokensieve.documents import content_id
from tokensieve.drops import (
    MAX_DETAIL,
    Drop,
    Entry,
    FileLook,
    Log,
    Look,
    State,
    VisitedFile,
    check_location,
    is_data,
    look_at,
    looks,
    read_log,
)
from tokensieve.errors import InputError, shortened
from tokensieve.ingest import Inventory, NoRowsError, inventory_of
from tokensieve.ingest.directories import SUCCESS, FoundFile, find_files
from tokensieve.ingest.opening import open_regular, reading
from tokensieve.methods import chosen_method
from tokensieve.planning.clean import CleanPlan, check_cleaning_given, cleaning_of
from tokensieve.planning.evidence import given_max_length, given_models
from tokensieve.planning.models import base_place
from tokensieve.planning.steps import CorpusStep, corpus_of, without_seen
from tokensieve.runs import Run
from tokensieve.selection_lookup import find_selection
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
    """Of the new files. Unset: none is new, or what is new holds no rows."""
    warnings: tuple[str, ...]
    """What somebody should know of its files, one message each."""

    @property
    def earlier_runs(self) -> list[str]:
        """Return the runs that cleaned earlier drops in the same way, the earliest first."""
        return [] if self.cleaning is None else self.log.runs(way_of(self.cleaning.run))

    def look(self, state: State) -> Look:
        """Return what there is to note of the drop."""
        hashes = {file.name: file.sha256 for file in self.files}
        files = {
            name: FileLook(
                num_bytes=entry.num_bytes, version=entry.version, sha256=hashes.get(name)
            )
            for name, entry in self.drop.data.items()
        }
        return Look(state=state, detail="; ".join(self.warnings)[:MAX_DETAIL], files=files)


def plan_visit(settings: CleanDropsSettings, name: str, on_gpu: bool) -> VisitPlan:
    """Return what is done about the drop of this name. Nothing is written.

    A file that has changed since it was seen last is read once for its hash, and if that is new
    once more. Raises SettingsError and InputError, also if the drop changes meanwhile.
    """
    storage = open_storage(settings.workspace, settings.s3)
    log, drop = read_log(storage), look_at(settings.location, name, settings.s3)
    found, warnings = _found(settings, drop)
    before = looks(storage).get(name, Look(state="waiting"))
    files = tuple(_visited(drop, found, before, log.known))
    if look_at(settings.location, name, settings.s3) != drop:
        raise _changed(drop)
    plan = VisitPlan(storage, drop, files, log, None, tuple(warnings))
    fresh = [each for each, file in zip(found, files, strict=True) if file.is_new]
    if not fresh:
        return plan
    try:
        inventory = inventory_of(fresh, warnings)
    except NoRowsError as error:
        if len(fresh) == len(files):
            raise
        return replace(plan, warnings=(*warnings, str(error)))
    _check_unchanged(plan, inventory)
    cleaning = _cleaning(settings, plan, inventory, on_gpu)
    return replace(plan, cleaning=cleaning, warnings=inventory.warnings)


def way_of(run: Run) -> str:
    """Return a hash of how a run cleaned: with which settings and models."""
    return content_id({"settings": run.settings, "models": run.models})


def check_drops_given(settings: CleanDropsSettings) -> None:
    """Raise what `plan_visit` would raise of any drop, as far as a second of looking can tell."""
    check_cleaning_given(settings)
    check_location(settings.location, settings.workspace)
    if settings.thresholds != _REFIT:
        find_selection(open_storage(settings.workspace, settings.s3), settings.thresholds)


def _found(settings: CleanDropsSettings, drop: Drop) -> tuple[list[FoundFile], list[str]]:
    """Return the files of a drop that are read, and warnings: of what is hidden, also that it is.

    Raises InputError if there is one that was not there when the drop was looked at.
    """
    found, warnings = find_files([drop.place], settings.corpus.split, settings.s3)
    names = {_name(drop, file): file for file in found}
    hidden = [name for name in names if not is_data(name)]
    if hidden:
        told = shortened(", ".join(hidden), 200)
        warnings.append(f"{drop.place}: {len(hidden)} files are not read, being hidden: {told}")
    data = {name: file for name, file in names.items() if is_data(name)}
    if not data.keys() <= drop.data.keys():
        raise _changed(drop)
    return list(data.values()), warnings


def _name(drop: Drop, file: FoundFile) -> str:
    """Return the path of a file below the drop."""
    return str(file.path)[len(drop.place) :].strip("/")


def _changed(drop: Drop) -> InputError:
    return InputError(
        f"{drop.place}: changed while it was looked at. It is looked at again; let its writer "
        f"end with a file {SUCCESS}, or raise quiet_minutes."
    )


def _visited(
    drop: Drop, found: Sequence[FoundFile], before: Look, known: set[str]
) -> Iterator[VisitedFile]:
    """Yield the files with their hashes; of what is known and as it was, that of the last look."""
    for file in found:
        name = _name(drop, file)
        entry = drop.data[name]
        sha256 = _noted(before.files.get(name), entry)
        if sha256 is None or sha256 not in known:
            sha256 = _sha256(file)
        yield VisitedFile(
            name=name, num_bytes=entry.num_bytes, sha256=sha256, is_new=sha256 not in known
        )


def _noted(seen: FileLook | None, entry: Entry) -> str | None:
    """Return the hash that was noted of a file, if it has not changed since."""
    if seen is None or (seen.num_bytes, seen.version) != (entry.num_bytes, entry.version):
        return None
    return seen.sha256


def _sha256(file: FoundFile) -> str:
    with open_regular(file.path) as opened, reading(file.path):
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _check_unchanged(plan: VisitPlan, inventory: Inventory) -> None:
    """Raise InputError unless the inventory read what was hashed: the log will say that it did."""
    hashes = {f"{plan.drop.place}/{file.name}": file.sha256 for file in plan.files if file.is_new}
    read = {str(file.path): file.sha256 for file in inventory.files}
    if not read.items() <= hashes.items() or {*read.values()} != {*hashes.values()}:
        raise _changed(plan.drop)


def _cleaning(
    settings: CleanDropsSettings, plan: VisitPlan, inventory: Inventory, on_gpu: bool
) -> CleanPlan:
    """Return how new files are cleaned, without the samples that earlier ones held."""
    models = given_models(settings, [chosen_method(settings.selection)], on_gpu)
    corpus = _corpus(settings, plan, inventory)
    frozen = None
    if settings.thresholds != _REFIT:
        frozen = find_selection(plan.storage, settings.thresholds)
    return cleaning_of(settings, corpus, models, frozen, plan.drop.name)


def _corpus(settings: CleanDropsSettings, plan: VisitPlan, inventory: Inventory) -> CorpusStep:
    corpus = corpus_of(
        plan.storage,
        inventory,
        base_place(settings),
        settings.corpus,
        given_max_length(settings, [chosen_method(settings.selection)]),
        settings.cluster,
    )
    return without_seen(corpus, tuple(_earlier(plan.storage, plan.log)))


def _earlier(storage: Storage, log: Log) -> Iterator[Artifact]:
    """Yield the corpora of earlier visits, without those of runs that were forgotten since."""
    for id in log.corpora:
        if storage.exists(f"corpora/{id}/COMMIT.json"):
            yield load_artifact(storage, "corpora", id)
