"""An export that stands already: whether it is whole, and what lies beside its data put right.

A recipe is people's to fill in, so one that is there stays as it is, but for the place that it
names: the export may have been moved.
"""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tokensieve.errors import DamagedError
from tokensieve.storage import file_sha256
from tokensieve.storage.disk import write_synced
from tokensieve.storage.scratch import scratch_directory

CARD = "card.json"


def file_records(directory: Path) -> list[dict[str, Any]]:
    """Return name, size and hash of every file below the directory."""
    return [
        {
            "path": path.relative_to(directory).as_posix(),
            "num_bytes": path.stat().st_size,
            "sha256": file_sha256(path),
        }
        for path in sorted(directory.rglob("*"))
        if path.is_file()
    ]


def standing_card(place: Path) -> dict[str, Any]:
    """Return the card of the export in this directory.

    Raises DamagedError if it, or a file of the data, is missing or of another size.
    """
    try:
        card: dict[str, Any] = json.loads((place / CARD).read_text(encoding="utf-8"))
        sizes = {f["path"]: (place / f["path"]).stat().st_size for f in card["files"]}
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise _damaged(place, f"{type(error).__name__}: {error}") from None
    for file in card["files"]:
        if sizes[file["path"]] != file["num_bytes"]:
            raise _damaged(place, f"{file['path']} has {sizes[file['path']]:,} bytes")
    return card


def check_hashes(place: Path, card: Mapping[str, Any]) -> None:
    """Raise DamagedError if a file of the data is not the one that the card tells of."""
    for file in card["files"]:
        if file_sha256(place / file["path"]) != file["sha256"]:
            raise _damaged(place, f"{file['path']} has another hash than {CARD} says")


def put_right(place: Path, texts: Mapping[str, str]) -> list[str]:
    """Write anew, each whole or not at all, what is missing of these files and what names another
    place; return their names. Raises OSError.
    """
    wanted = {name: _wanted(place / name, text) for name, text in texts.items()}
    changed = {name: data for name, data in wanted.items() if data is not None}
    if changed:
        with scratch_directory(place.parent) as directory:
            for name, data in changed.items():
                write_synced(directory / name, data)
                (directory / name).replace(place / name)
    return [*changed]


def _wanted(path: Path, text: str) -> bytes | None:
    """Return what the file should hold; None if that is what it holds."""
    if not path.exists():
        return text.encode()
    found = path.read_bytes()
    placed = _placed(found.decode("utf-8", "surrogateescape"), path.parent)
    data = placed.encode("utf-8", "surrogateescape")
    return None if data == found else data


def _placed(text: str, place: Path) -> str:
    """Return the text with this place in each JSON string that names the directory elsewhere."""
    elsewhere = rf'"(?:\\.|[^"\\\n])*/{re.escape(place.name)}\b'
    return re.sub(elsewhere, lambda _: json.dumps(str(place))[:-1], text)


def _damaged(place: Path, what: str) -> DamagedError:
    return DamagedError(
        f"{place}: is not the export that was made there: {what}. Move it away, and run the same "
        "command again."
    )
