"""The log of visits: which files were cleaned, with which drop, and what became of them.

    drops/visits/00001.json     created when the new files of a drop are cleaned
         /releases/00001.json   created when somebody approves what that visit held back

The log is the memory of what was cleaned: a file whose hash is in it is not read again, whatever
its name and drop. Its order is that in which drops were cleaned, so "earlier" needs no clock. Two
writers at once are safe: the second finds the visit of the first, or takes the next number.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import count

from pydantic import BaseModel, ConfigDict

from tokensieve.artifact import Commit
from tokensieve.documents import parsed, sealed_json
from tokensieve.errors import ConflictError, DamagedError
from tokensieve.storage import Storage

_READ_AT_ONCE = 32
"""Documents that are asked for together: a distant store answers each of them slowly."""


class _Document(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class VisitedFile(_Document):
    """A file that a drop held when it was visited."""

    name: str
    num_bytes: int
    sha256: str
    is_new: bool
    """Whether its content was cleaned in this visit, or before."""


class Visit(_Document):
    """One cleaning of what was new in a drop."""

    drop: str
    files: list[VisitedFile]
    run: str
    way: str
    """Hash of the run's settings and models. Drops cleaned in the same way can be compared."""
    corpus: str
    selection: str | None
    """Unset: every sample in the new files was in those before."""
    counts: dict[str, int]
    """rows = samples + quarantined + skipped; of these are `seen` in the files before; tokens."""
    alarms: list[str]
    """What is not as it should be, a sentence each."""
    held: bool
    """Whether it waits for somebody to approve it."""

    @property
    def new(self) -> set[str]:
        """Return the hashes of the files that were cleaned in it."""
        return {file.sha256 for file in self.files if file.is_new}

    def publish(
        self, storage: Storage, log: "Log", tell: Callable[[], None] = lambda: None
    ) -> "Visit":
        """Add it to a log that was read before; return the visit that stands for these files: this
        one, or that of another run that was first.

        `tell` is called once this one is the next, before it stands. Raises ConflictError if other
        runs cleaned some of the files since the log was read, and not all.
        """
        for number in count(len(log.visits) + 1):
            other = _read(storage, number)
            if other is None:
                tell()
                if storage.create(_visit_key(number), sealed_json(self)):
                    return self
                other = required_visit(storage, number)
            if other.new >= self.new:
                return other
            if other.new & self.new:
                raise _overlapping(storage, number, self)
        raise AssertionError("some number is free")


def sample_counts(corpus: Commit) -> dict[str, int]:
    """Return what became of the rows of a corpus: rows = samples + quarantined + skipped.

    Of the skipped ones `seen` are those that earlier corpora hold.
    """
    totals = corpus.totals
    num_repeated = sum(map(len, corpus.notes["duplicates"].values()))
    counts = {
        "rows": totals["rows"],
        "samples": totals["scored"] - num_repeated,
        "quarantined": totals["quarantined"],
        "skipped": totals["skipped"] + num_repeated,
    }
    assert counts["rows"] == counts["samples"] + counts["quarantined"] + counts["skipped"]
    return counts | {"seen": corpus.notes.get("seen", 0)}


class Release(_Document):
    """Somebody's word that what a visit held back may be used."""

    drop: str
    run: str


@dataclass(frozen=True)
class Log:
    """Every visit, in order."""

    visits: tuple[Visit, ...]
    waiting: frozenset[int] = frozenset()
    """The numbers of those that wait for approval."""

    @property
    def held(self) -> dict[int, Visit]:
        """Return the visits that wait for approval, by number."""
        return {n: visit for n, visit in enumerate(self.visits, 1) if n in self.waiting}

    @property
    def usable(self) -> list[Visit]:
        """Return the visits whose results may be used."""
        return [visit for n, visit in enumerate(self.visits, 1) if n not in self.waiting]

    @property
    def known(self) -> set[str]:
        """Return the hashes of all files that were cleaned, for use or not."""
        return {sha256 for visit in self.visits for sha256 in visit.new}

    @property
    def corpora(self) -> list[str]:
        """Return the ids of the corpora that have a usable sample, the earliest first."""
        return [visit.corpus for visit in self.usable if visit.counts["samples"]]

    def runs(self, way: str) -> list[str]:
        """Return the runs that selected in this way, and are usable, the earliest first."""
        return [each.run for each in self.usable if each.selection and each.way == way]


def read_log(storage: Storage) -> Log:
    """Return every visit of the workspace; DamagedError if one was edited."""
    found: list[Visit | None] = []
    with ThreadPoolExecutor(_READ_AT_ONCE) as pool:
        while None not in found:
            numbers = range(len(found) + 1, len(found) + 1 + _READ_AT_ONCE)
            found += pool.map(partial(_read, storage), numbers)
    visits = [visit for visit in found[: found.index(None)] if visit is not None]
    if any(found[len(visits) :]):
        raise _missing(storage, len(visits) + 1)
    held = (number for number, visit in enumerate(visits, 1) if visit.held)
    waiting = frozenset(number for number in held if not released(storage, number))
    return Log(tuple(visits), waiting)


def required_visit(storage: Storage, number: int) -> Visit:
    """Return a visit that has to be there; DamagedError if it is not, or was edited."""
    visit = _read(storage, number)
    if visit is None:
        raise _missing(storage, number)
    return visit


def release(storage: Storage, number: int, visit: Visit) -> None:
    """Create the document that lets what a visit held back be used, unless it is there."""
    document = Release(drop=visit.drop, run=visit.run)
    storage.create(_release_key(number), sealed_json(document))


def released(storage: Storage, number: int) -> bool:
    """Return whether a visit that was held back was approved; DamagedError if that was edited."""
    data = storage.read(_release_key(number))
    if data is None:
        return False
    parsed(Release, data, storage.place(_release_key(number)))
    return True


def _read(storage: Storage, number: int) -> Visit | None:
    """Return the visit of this number, or None if there is none."""
    key = _visit_key(number)
    data = storage.read(key)
    return None if data is None else parsed(Visit, data, storage.place(key))


def _missing(storage: Storage, number: int) -> DamagedError:
    return DamagedError(
        f"{storage.place(_visit_key(number))}: is missing, but a later visit is there. What it has "
        "cleaned would be cleaned again: bring it back."
    )


def _overlapping(storage: Storage, number: int, visit: Visit) -> ConflictError:
    return ConflictError(
        f"{storage.place(_visit_key(number))}: another run cleaned some of the new files of the "
        f"drop {visit.drop} meanwhile. Run the same command again: it cleans the others."
    )


def _visit_key(number: int) -> str:
    return f"drops/visits/{number:05d}.json"


def _release_key(number: int) -> str:
    return f"drops/releases/{number:05d}.json"
