"""Which artifacts are still needed: all that a document of a run or drop names, and what they name.

An id is 16 hex digits and nothing else has that form, so every document is searched for ids as it
stands: a new field of a plan is followed without being known here.
"""

import re
from collections.abc import Collection, Iterable, Iterator

from tokensieve.artifact import KINDS
from tokensieve.runs import all_runs
from tokensieve.storage import Storage

_ID = re.compile(rb"(?<![0-9a-f])[0-9a-f]{16}(?![0-9a-f])")
_RECORDS = ("runs", "drops")
"""Where the documents lie that artifacts are made for."""


class Reachability:
    """The artifacts of a workspace, and which of them are needed.

    Needed are those that the documents of runs and drops name, those that the plan of a needed one
    names, the evaluations of needed corpora, and everything made of the corpora of runs that are
    not finished: such a run names what it made only at the end.
    """

    def __init__(self, storage: Storage, forgotten: Collection[str] = ()) -> None:
        """Read the documents of runs and drops, and the plan of every artifact.

        `forgotten`: names of runs that are taken for not there.
        """
        self._storage, self._forgotten = storage, forgotten
        self._named = {key: self._ids(f"{key}/PLAN.json") for key in self._declared()}
        """The ids in the plan of each artifact, by its key."""
        self.needed: frozenset[str] = frozenset(self._needed())
        """Keys, such as `scores/0123456789abcdef`."""

    @property
    def unneeded(self) -> list[str]:
        """Return the keys of the artifacts that nothing needs."""
        return sorted(self._named.keys() - self.needed)

    def _declared(self) -> Iterator[str]:
        for kind in KINDS:
            for name in self._storage.names(kind):
                if _ID.fullmatch(name.encode()):
                    yield f"{kind}/{name}"

    def _ids(self, key: str) -> frozenset[str]:
        """Return every id that a document names; none if it is not there."""
        return frozenset(id.decode() for id in _ID.findall(self._storage.read(key) or b""))

    def _needed(self) -> set[str]:
        needed = self._closed(self._recorded())
        needed |= self._closed(id for key in self._made_of_unfinished() for id in [_id(key)])
        corpora = {_id(key) for key in needed if key.startswith("corpora/")}
        needed |= {
            key
            for key, named in self._named.items()
            if key.startswith("evaluations/") and named & corpora
        }
        return needed

    def _recorded(self) -> Iterator[str]:
        """Yield every id that a document of a run or a drop names."""
        for place in _RECORDS:
            for file in self._storage.files(place):
                forgotten = place == "runs" and file.key.split("/")[1] in self._forgotten
                if file.key.endswith(".json") and not forgotten:
                    yield from self._ids(file.key)

    def _made_of_unfinished(self) -> Iterator[str]:
        """Yield what was made of the corpora of unfinished runs, at any remove."""
        runs = [run for run in all_runs(self._storage) if run.name not in self._forgotten]
        unfinished = [run for run in runs if not run.is_finished(self._storage)]
        sources = {id for run in unfinished for id in run.corpora.values()}
        made: set[str] = set()
        while more := {k for k, named in self._named.items() if named & sources} - made:
            made |= more
            sources |= {_id(key) for key in more}
        yield from made

    def _closed(self, ids: Iterable[str]) -> set[str]:
        """Return the keys of these artifacts and of all that their plans name."""
        by_id: dict[str, list[str]] = {}
        for key in self._named:
            by_id.setdefault(_id(key), []).append(key)
        found: set[str] = set()
        waiting = set(ids)
        while waiting:
            more = {key for id in waiting for key in by_id.get(id, ())} - found
            found |= more
            waiting = {id for key in more for id in self._named[key]}
        return found


def _id(key: str) -> str:
    return key.partition("/")[2]
