"""Which run came when: told by the documents of those who worked on them, which are for people."""

from collections.abc import Collection

from tokensieve.runs import attempts
from tokensieve.storage import Storage


def last_worked_on(storage: Storage, names: Collection[str]) -> str:
    """Return which of some runs a process began to work on last; the last name if none tells."""

    def begun(name: str) -> tuple[float, str]:
        return max((each.started for each in attempts(storage, name)), default=0.0), name

    return max(names, key=begun)


def as_begun(storage: Storage, names: Collection[str]) -> list[str]:
    """Return some runs in the order in which work on them began; by name where nothing tells."""

    def begun(name: str) -> tuple[float, str]:
        return min((each.started for each in attempts(storage, name)), default=0.0), name

    return sorted(names, key=begun)
