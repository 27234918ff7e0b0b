"""What nothing in a workspace needs any more, and how it is removed.

What is younger than a day is never touched, so that nothing is taken from a run that has just begun
something new. A run that takes up old garbage in the very moment in which it goes ends with an
error, and does it anew the next time: of an artifact COMMIT and receipts go first and the plan
last, so that a half-removed one counts as not done, and is garbage still.
"""

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from tokensieve.artifact import Commit, load_artifact
from tokensieve.reachability import Reachability
from tokensieve.storage import Leftover, Storage, StoredFile

MIN_AGE_SECONDS = 24 * 3600.0
"""What was written later than this is never removed."""

_OURS = re.compile(r"\w+/\d{5}-[0-9a-f]{16}\.parquet|\w+-[0-9a-f]{16}/.+")
"""Names that only the artifact protocol gives: a part's table of a shard, a file of a folder."""
_CHECKPOINT = re.compile(r"checkpoints/.+")


@dataclass(frozen=True)
class Garbage:
    """Files that go together."""

    key: str
    why: str
    files: tuple[StoredFile, ...]
    """In the order in which they are removed."""

    @property
    def num_bytes(self) -> int:
        """Return how much room they take."""
        return sum(file.num_bytes for file in self.files)

    @property
    def age(self) -> float:
        """Return the seconds since the last of them was written."""
        return min(file.age for file in self.files)

    def remove(self, storage: Storage) -> None:
        """Remove the files that are still there."""
        first = next((file for file in self.files if _is_receipt(file.key)), None)
        for file in self.files:
            if isinstance(file, Leftover):
                storage.discard(file)
            else:
                storage.remove(file.key)
            if file is first:  # somebody may just have committed; now nobody can any more
                storage.remove(f"{self.key}/COMMIT.json")


def find_garbage(storage: Storage, forgotten: Collection[str] = ()) -> list[Garbage]:
    """Return everything that nothing needs, whatever its age; `forgotten` as in Reachability."""
    reachable = Reachability(storage, forgotten)
    return [
        *_unneeded(storage, reachable.unneeded),
        *(garbage for key in sorted(reachable.needed) for garbage in _strays(storage, key)),
        *(Garbage(left.key, "its writer was killed", (left,)) for left in storage.leftovers()),
    ]


def forgettable(storage: Storage, run: str) -> Garbage:
    """Return the documents of a run, the first of which goes last."""
    files = list(storage.files(f"runs/{run}"))
    files.sort(key=lambda file: file.key == f"runs/{run}/RUN.json")
    return Garbage(f"runs/{run}", "is to be forgotten", tuple(files))


def _unneeded(storage: Storage, keys: Sequence[str]) -> Iterator[Garbage]:
    for key in keys:
        if files := sorted(storage.files(key), key=lambda file: _turn(key, file)):
            yield Garbage(key, "no run needs it", tuple(files))


def _turn(key: str, file: StoredFile) -> tuple[int, str]:
    """Return when a file of an artifact is removed: its commit first, its plan last."""
    inside = file.key.removeprefix(f"{key}/")
    order = {"COMMIT.json": 0, "PLAN.json": 3}
    return order.get(inside, 1 if _is_receipt(file.key) else 2), inside


def _is_receipt(key: str) -> bool:
    return key.split("/")[2:3] == ["receipts"]


def _strays(storage: Storage, key: str) -> Iterator[Garbage]:
    """Yield files in a finished artifact that are no part of it."""
    kind, _, id = key.partition("/")
    commit = load_artifact(storage, kind, id).committed()
    if commit is None:
        return
    named = _named(commit)
    for file in storage.files(key):
        inside = file.key.removeprefix(f"{key}/")
        if _CHECKPOINT.fullmatch(inside):
            yield Garbage(file.key, "its training is done", (file,))
        elif file.key not in named and _OURS.fullmatch(inside):
            yield Garbage(file.key, "no receipt names it", (file,))


def _named(commit: Commit) -> set[str]:
    return {file.key for receipt in commit.receipts for file in receipt.files.values()}
