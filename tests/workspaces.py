"""What stands in a workspace, so that two runs can be compared byte for byte."""

import hashlib
from pathlib import Path

FOR_PEOPLE = {"attempts", "index", "timings"}
"""Directories of what differs from run to run, or can be made anew."""


def published(workspace: Path) -> dict[str, str]:
    """Return the hash of every file that a run publishes, by name.

    Times, attempts, the index, pictures, reports and what killed writers leave are none of it.
    """
    return {
        str(path.relative_to(workspace)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(workspace.rglob("*"))
        if path.is_file() and is_published(path.relative_to(workspace))
    }


def ids(workspace: Path, kind: str) -> set[str]:
    """Return the ids of the committed artifacts of a kind."""
    return {path.parent.name for path in workspace.glob(f"{kind}/*/COMMIT.json")}


def is_published(path: Path) -> bool:
    """Return whether a file of a workspace is part of what a run publishes."""
    is_temporary = any(part.startswith(".tmp-") for part in path.parts)
    is_for_people = path.suffix in (".png", ".html") or FOR_PEOPLE & set(path.parts)
    return not is_temporary and not is_for_people
